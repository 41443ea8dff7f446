"""Files that people give as examples: of a query, and of a lesson."""
