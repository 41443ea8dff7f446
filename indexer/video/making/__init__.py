"""Frames to files: films, previews, storyboards."""
