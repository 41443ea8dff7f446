"""Actions of a library: naming, finding, teaching, correcting, tagging."""
