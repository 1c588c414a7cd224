"""The whole pipeline from one command: Snakemake in a process of its own, and a display of what its jobs do."""
