"""Decoding in confined programs of its own."""
