"""Where a trained network finds what speaks for a class: guided Grad-CAM."""
