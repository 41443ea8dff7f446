"""Clips as the catalog keeps them: rows, key frames, embeddings and features."""
