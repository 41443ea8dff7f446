"""Calibration: from scores to the probability that a hit shows what was asked for."""
