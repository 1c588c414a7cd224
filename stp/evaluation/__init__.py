"""From scores to tables: fusion, metrics, tests of significance, comparisons. Nothing here needs a network."""
