"""Trained runs on any video, and networks for other programs."""
