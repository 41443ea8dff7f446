"""Examples laid over videos in time: which span matches which."""
