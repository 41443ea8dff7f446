"""Summaries: which frames of a video to show."""
