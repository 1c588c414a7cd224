"""Networks: backbones that turn an image into a feature vector, and the segment-level temporal pyramid above them."""
