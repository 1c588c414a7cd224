"""Modalities: what a stream of the network sees (paper section 4.1)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Modality:
    """RGB frames, optical flow or warped optical flow; `channels` is those of one stored field."""

    name: str
    channels: int
    is_flow: bool

    def stack(self, subsegment_length: int) -> int:
        """Fields stacked into one image: a single RGB frame, or all flow fields of the sub-segment."""
        return subsegment_length if self.is_flow else 1

    def image_channels(self, subsegment_length: int) -> int:
        """Channels of a network's input: 3, or (x, y) of every flow field (10 for the paper's 5)."""
        return self.channels * self.stack(subsegment_length)


MODALITIES = {
    "rgb": Modality("rgb", 3, False),
    "of": Modality("of", 2, True),
    "wof": Modality("wof", 2, True),
}
