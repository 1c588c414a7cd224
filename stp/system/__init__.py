"""The machine and its files: complete files, logs, progress, versions, devices, places on GPUs, signals."""
