"""The terminal side of commands: options, settings, what people are shown, files, stopping."""
