"""Captioners: pictures to sentences."""
