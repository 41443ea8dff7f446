"""Weights: from the hub or a file, checked by digest, loaded on a device."""
