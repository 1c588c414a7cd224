"""Recipes: how fields were made, so that those of any video are made alike.

This module alone knows the parameters that shards of frames and flow hold as JSON (`stp.data.shards`), but for the
bound (`stp.flow.bound_of`):

    frames        width, height; fps, unless each video keeps its own rate
    flow          frames (the parameters of its frames), backend, bound, step, tvl1
    warped flow   those of flow, and detector, warped_flow

With JPEG, the shard's writer adds `storage`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stp.config import StorageFormat
from stp.data.shards import RAW, least_bytes
from stp.errors import UserError
from stp.extraction.pairs import FlowSettings
from stp.flow import TVL1Parameters, resolve_backend
from stp.warped import WarpedFlowParameters


@dataclass(frozen=True)
class Recipe:
    """How the fields of one or several modalities are made; `flow` has a detector where warped flow is needed."""

    width: int  # pixels, of frames and flow
    height: int
    frame_storage: StorageFormat
    flow: FlowSettings | None  # None where no flow is needed
    bound: float | None  # +-pixels/frame that map to 0..255; None without flow
    flow_storage: StorageFormat
    fps: float | None = None  # frames per second; None: each video's own

    def bytes_needed(self, frames: int) -> int:
        """Bytes that the fields of a video of `frames` frames take; as JPEG, the fewest that they can take."""
        flow_shape = (max(frames - 1, 1), 2, self.height, self.width)
        streams = 0 if self.flow is None else 1 if self.flow.detector is None else 2
        of_frames = least_bytes((frames, 3, self.height, self.width), self.frame_storage)
        return of_frames + (streams and streams * least_bytes(flow_shape, self.flow_storage))


def frame_parameters(width: int, height: int, fps: float | None = None) -> dict[str, Any]:
    """The parameters of a shard of frames."""
    return {"width": width, "height": height} | ({"fps": fps} if fps else {})


def stored_rate(parameters: Mapping[str, Any]) -> float | None:
    """Frames per second of a shard of frames with these parameters; None where each video keeps its own."""
    return parameters.get("fps")


def shard_parameters(
    settings: FlowSettings, bound: float, modality: str, frames: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The parameters of a shard of flow (of) or warped flow (wof).

    Args:
        settings: how the flow is computed.
        bound: +-pixels/frame that map to 0..255.
        modality: of or wof.
        frames: the parameters of the shard of frames; None where the frames are not stored, as by `stp flow`.
    """
    parameters = {"backend": settings.backend, "bound": bound, "step": settings.step, "tvl1": asdict(settings.tvl1)}
    if modality == "wof":
        parameters |= {"detector": settings.detector, "warped_flow": asdict(settings.warped_flow)}
    return parameters if frames is None else parameters | {"frames": frames}


def _facts(path: Path, modality: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a run's fields, divided into those of frames, flow and warped flow: one stage makes each."""
    if modality == "rgb":
        return {"frames": dict(parameters)}
    flow = dict(parameters)
    if "frames" not in flow:
        raise UserError(f"{path}: its flow does not say how its frames were made; extract the flow and train it again")
    frames = flow.pop("frames")
    warped = {key: flow.pop(key) for key in ("detector", "warped_flow") if key in flow}
    return {"frames": frames, "flow": flow} | ({"warped flow": warped} if warped else {})


def _storage(parameters: Mapping[str, Any]) -> StorageFormat:
    return StorageFormat(**parameters["storage"]) if "storage" in parameters else RAW


def common_recipe(trained: Sequence[tuple[Path, str, Mapping[str, Any]]], backend: str | None = None) -> Recipe:
    """The recipe by which the fields of several runs were made.

    Args:
        trained: file, modality and parameters of the fields (`stp.training.run.training_fields`) of each run.
        backend: TV-L1's backend, instead of the one that made the fields.

    Raises:
        UserError: the runs' fields were made differently or unknown how, or this machine lacks the backend.
    """
    try:
        return _common_recipe(trained, backend)
    except (AttributeError, KeyError, TypeError) as error:
        paths = ", ".join(str(path) for path, *_ in trained)
        raise UserError(f"{paths}: does not say how its fields were made ({error}); train it again") from None


def _common_recipe(trained: Sequence[tuple[Path, str, Mapping[str, Any]]], backend: str | None) -> Recipe:
    facts: dict[str, tuple[Any, Path]] = {}
    for path, modality, parameters in trained:
        for name, value in _facts(path, modality, parameters).items():
            known, other = facts.setdefault(name, (value, path))
            if known != value:
                raise UserError(
                    f"{path} and {other} were trained on {name} made differently: {value}, {known}; "
                    "give runs of one results folder"
                )
    frames, _ = facts["frames"]
    recipe = Recipe(frames["width"], frames["height"], _storage(frames), None, None, RAW, stored_rate(frames))
    if "flow" not in facts:
        return recipe
    flow, _ = facts["flow"]
    settings = FlowSettings(
        resolve_backend(backend or flow["backend"], flow["tvl1"]["semantics"]),
        TVL1Parameters(**flow["tvl1"]),
        step=flow["step"],
    )
    if "warped flow" in facts:
        warped, _ = facts["warped flow"]
        thresholds = WarpedFlowParameters(**warped["warped_flow"])
        settings = replace(settings, detector=warped["detector"], warped_flow=thresholds)
    return replace(recipe, flow=settings, bound=flow["bound"], flow_storage=_storage(flow))
