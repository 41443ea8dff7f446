"""Folders that the library follows: notices of changes, files until they are complete, and their ingest."""
