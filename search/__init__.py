"""What is stored and how it is found: catalog, vector index, query, ranking, grouping."""
