"""A query to hits: scores, ranks, groups, and a video's timeline."""
