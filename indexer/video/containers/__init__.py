"""The structure of video files, read from their bytes: formats, joined parts, crops and dates."""
