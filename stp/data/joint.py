"""The stored fields that a run sees: those of one modality, or of several at once."""

from collections.abc import Mapping
from dataclasses import dataclass

from stp.data.shards import ClipFields
from stp.errors import UserError


@dataclass(frozen=True)
class JointFields:
    """The stored fields of several modalities of the same clips, in the order of the run's input."""

    parts: tuple[ClipFields, ...]

    @property
    def modality(self) -> str:
        """The names of the modalities, as rgb+of."""
        return "+".join(part.modality for part in self.parts)

    def shape(self, clip: str) -> tuple[int, ...]:
        """Fields that all modalities have, channels of all, height and width; UserError if they differ in size."""
        shapes = [part.shape(clip) for part in self.parts]
        if len({shape[2:] for shape in shapes}) > 1:
            sizes = ", ".join(
                f"{part.modality} {shape[3]}x{shape[2]}" for part, shape in zip(self.parts, shapes, strict=True)
            )
            raise UserError(f"clip '{clip}' is stored in different sizes: {sizes}; make its frames and flow again")
        return min(shape[0] for shape in shapes), sum(shape[1] for shape in shapes), *shapes[0][2:]


InputFields = ClipFields | JointFields


def input_fields(fields: Mapping[str, ClipFields], run_input: str) -> InputFields:
    """The fields of a run's input, from those of each modality."""
    parts = tuple(fields[name] for name in run_input.split("+"))
    return parts[0] if len(parts) == 1 else JointFields(parts)
