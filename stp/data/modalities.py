"""Modalities: what a stream of the network sees (paper section 4.1)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Modality:
    """RGB frames, optical flow or warped optical flow; `channels` is those of one stored field."""

    name: str
    channels: int
    is_flow: bool


MODALITIES = {
    "rgb": Modality("rgb", 3, False),
    "of": Modality("of", 2, True),
    "wof": Modality("wof", 2, True),
}
