"""Ingest: folders walked, files decoded, encoded and written to the catalog."""
