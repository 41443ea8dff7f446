"""Checks that every request passes: who asks, what they may, how much."""
