"""Training and scoring of networks: the loop, its states, logs and model files."""
