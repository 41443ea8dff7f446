"""Vector indexes. The seam is `vector_index.VectorIndex`."""
