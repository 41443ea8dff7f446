"""Everyday words as classes of ImageNet, for the encoder `offline` alone.

Imports neither torch nor a model: a table made from WordNet, a short list of everyday words beside it, and
the taking apart of phrases.
"""
