"""Parts that several video models are built of."""
