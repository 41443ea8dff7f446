"""Video files: read, sampled, rendered, in programs of their own."""
