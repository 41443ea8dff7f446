"""Work on a library that exists: checks, backups, captions, summaries."""
