"""Video files: decoding, the sources of frames that a user names, and writing."""
