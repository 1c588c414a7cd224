"""Encodings: what turns the many local descriptors of a clip into one vector. They are learnt from training clips."""
