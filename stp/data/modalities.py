"""Modalities: the inputs of the network's streams (paper section 4.1)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Modality:
    """RGB frames, optical flow or warped optical flow; `channels` is the number of channels of one stored field."""

    name: str
    channels: int
    is_flow: bool

    def stack(self, subsegment_length: int) -> int:
        """Number of fields stacked into one image: one RGB frame, or all flow fields of the sub-segment."""
        return subsegment_length if self.is_flow else 1

    def image_channels(self, subsegment_length: int) -> int:
        """Number of channels of a network's input: 3, or x and y of every flow field (10 for the paper's 5 fields)."""
        return self.channels * self.stack(subsegment_length)


MODALITIES = {
    "rgb": Modality("rgb", 3, False),
    "of": Modality("of", 2, True),
    "wof": Modality("wof", 2, True),
}
