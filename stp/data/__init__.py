"""Clips, and what is stored of them: the index, folds, boxes, runs' names, and the shards of their fields."""
