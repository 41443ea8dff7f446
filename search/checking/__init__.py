"""Checks of a catalog and its index, and repairs."""
