"""Training video models: data to batches, a run, its checkpoints."""
