"""Heads: what is read out of stored features, as actions, spans and importance."""
