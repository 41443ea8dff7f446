"""Frames to clips: shots, windows, sampled frames."""
