"""Which fields of a clip become images, how they are cropped, and how they reach the device."""
