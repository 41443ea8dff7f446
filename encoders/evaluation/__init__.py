"""Metrics of classification, retrieval, localisation and summaries, and reports of them."""
