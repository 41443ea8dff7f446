"""Video files to stored clips: walk, decode, sample, pipeline, command line."""
