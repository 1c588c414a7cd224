"""Recipes: how the fields that a run was trained on were made, so that those of any video are made alike."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stp.config import StorageFormat
from stp.data.shards import RAW
from stp.errors import UserError
from stp.extraction.pairs import FlowSettings
from stp.flow import TVL1Parameters, resolve_backend
from stp.warped import WarpedFlowParameters


@dataclass(frozen=True)
class Recipe:
    """Frames of `width` x `height` pixels; `flow` is None where none is needed, and has a detector for warped flow."""

    width: int
    height: int
    frame_storage: StorageFormat = RAW
    flow: FlowSettings | None = None
    bound: float = 20.0  # +-pixels/frame that map to 0..255
    flow_storage: StorageFormat = RAW

    def bytes_needed(self, frames: int) -> int:
        """Of frames and fields while a video is predicted, if they are not compressed."""
        channels = 3 + (2 if self.flow else 0) + (2 if self.flow and self.flow.detector else 0)
        return frames * channels * self.width * self.height


def shard_parameters(settings: FlowSettings, bound: float, modality: str) -> dict[str, Any]:
    """What a shard of flow says of its making."""
    parameters = {"backend": settings.backend, "bound": bound, "step": settings.step, "tvl1": asdict(settings.tvl1)}
    if modality == "wof":
        parameters |= {"detector": settings.detector, "warped_flow": asdict(settings.warped_flow)}
    return parameters


def _facts(path: Path, modality: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's fields say of frames, flow and warped flow, each made by one stage."""
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
    """The recipe of several runs' fields.

    Args:
        trained: file, modality and parameters of the fields (`stp.training.run.training_fields`) of each run.
        backend: of TV-L1, instead of the one that made the fields.

    Raises:
        UserError: the runs' fields were made differently, or this machine lacks the backend.
    """
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
    recipe = Recipe(frames["width"], frames["height"], _storage(frames))
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
