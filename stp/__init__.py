"""Recognising micro actions in video with a segment-level temporal pyramid (Mi and Wang)."""

__version__ = "0.1.0"
