"""What is known of clips and stored of them: the index, folds, boxes, runs' names, and the shards of their fields."""
