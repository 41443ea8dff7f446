"""Video files to decoded frames with true times."""
