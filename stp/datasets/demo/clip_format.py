"""The settings by which the demo's clips are drawn."""

from dataclasses import dataclass

from stp.config import FEWEST_ANYWHERE, Onset
from stp.errors import UserError

FEWEST = 12  # frames of a clip that its action fills


@dataclass(frozen=True)
class DemoFormat:
    """The size of the demo's clips, in frames, pixels and frames per second, and the seed and onset of their actions.

    Raises:
        UserError: clips too short for an action, or sides that video cannot have.
    """

    frames: int = 24
    width: int = 128
    height: int = 96
    rate: int = 25
    seed: int = 0
    onset: Onset = "aligned"

    def __post_init__(self) -> None:
        least, where = (FEWEST, "") if self.onset == "aligned" else (FEWEST_ANYWHERE, " that begins anywhere")
        if self.frames < least:
            raise UserError(f"demo.frames: {self.frames} is too short for an action{where}; give {least} or more")
        if self.width % 2 or self.height % 2:
            raise UserError(
                f"demo.width, demo.height: {self.width} x {self.height}: video has even sides; add one to the odd one"
            )
