"""Data sets in the layouts people have: read, trained on, evaluated."""
