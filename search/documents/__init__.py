"""Typed answers, as the command line and the HTTP API give them; exports for other programs."""
