"""Trainable video models, one architecture a file."""
