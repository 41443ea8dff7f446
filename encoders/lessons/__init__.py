"""Heads learned from a handful of examples."""
