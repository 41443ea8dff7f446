"""Scores to probabilities that a hit shows what was asked for."""
