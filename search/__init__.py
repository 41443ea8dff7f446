"""The library, and how things are found in it: catalog, vector index, query, ranking, grouping."""
