"""Heads, the segments they found, and the examples they were taught with, as the catalog keeps them."""
