"""Modalities: the inputs of the network's streams (paper section 4.1)."""

from dataclasses import dataclass

from stp.config import FLOW


@dataclass(frozen=True)
class Modality:
    """RGB frames, optical flow, warped optical flow, or RGB frames of the first-person video of the same clip.

    `channels` is the number of channels of one stored field.
    """

    name: str
    channels: int
    is_flow: bool


MODALITIES = {
    "rgb": Modality("rgb", 3, False),
    **{name: Modality(name, 2, True) for name in FLOW},
    "first": Modality("first", 3, False),
}
