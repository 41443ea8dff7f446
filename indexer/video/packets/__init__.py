"""Coded packets, read without decoding them: which hold a picture that no other needs."""
