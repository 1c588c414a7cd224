"""A run: one (modality, variant, fold, seed), its settings, and the trained network that it leaves behind."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch

from stp.data.modalities import MODALITIES, Modality
from stp.errors import UserError
from stp.models.backbones import build_backbone
from stp.models.batch_norm import freeze_batch_norms
from stp.models.bninception import STRIDE as BN_INCEPTION_STRIDE
from stp.models.pyramid import TemporalPyramidNetwork
from stp.sampling.segments import Variant, variant
from stp.system.files import complete_file
from stp.system.versions import versions


@dataclass(frozen=True)
class StreamSettings:
    """Schedule of a stream; the learning rate falls to a tenth after each milestone (in epochs)."""

    epochs: int = 80
    milestones: tuple[int, ...] = (30, 60)
    learning_rate: float = 0.001
    dropout: float = 0.8
    scales: tuple[float, ...] = (1, 0.875, 0.75, 0.66)


FLOW_STREAM = StreamSettings(320, (110, 250), 0.001, 0.7, (1, 0.875, 0.75))


def _refuse_unknown(given: dict[str, Any], known: type, where: str) -> None:
    names = [item.name for item in fields(known)]
    for name in given:
        if name not in names:
            raise UserError(f"--settings: unknown key '{name}'{where}; allowed are {', '.join(names)}")


@dataclass(frozen=True)
class Settings:
    """Everything that defines a training beside data, variant, fold and seed; defaults are the paper's (TSN's).

    One flat table of plain values, so that it travels as JSON on the command line and inside the checkpoint.
    """

    backbone: str = "bninception"
    weights: str = "imagenet"
    width: float = 1.0
    input_size: int = 224
    segments: int = 3
    segment_length: int = 20
    subsegments: int = 4
    subsegment_length: int = 5
    batch_videos: int = 32
    momentum: float = 0.9
    weight_decay: float = 5e-4
    gradient_clip: float = 20.0
    partial_bn: bool = True
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    deterministic: bool = False  # on GPUs; a CPU always repeats
    rgb: StreamSettings = field(default_factory=StreamSettings)
    flow: StreamSettings = FLOW_STREAM

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Settings":
        """Settings from plain values; UserError for names that do not exist."""
        values = dict(values)
        for name, default in (("rgb", StreamSettings()), ("flow", FLOW_STREAM)):
            given = values.get(name, {})
            _refuse_unknown(given, StreamSettings, f" of {name}")
            plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
            values[name] = replace(default, **plain)
        _refuse_unknown(values, cls, "")
        return cls(**values)

    def stream(self, modality: Modality) -> StreamSettings:
        return self.flow if modality.is_flow else self.rgb

    def variant(self, name: str) -> Variant:
        return variant(name, self.segments, self.segment_length, self.subsegments, self.subsegment_length)


@dataclass(frozen=True)
class Run:
    """What is trained: modality, variant and fold, on these classes, with these settings, from this seed."""

    modality: str
    variant: str
    fold: int
    classes: tuple[str, ...]
    settings: Settings
    seed: int = 0

    @property
    def name(self) -> str:
        return f"{self.modality}/{self.variant}/fold{self.fold}/seed{self.seed}"

    @property
    def epochs(self) -> int:
        return self.settings.stream(MODALITIES[self.modality]).epochs

    def build_network(self, weights: str | None = None) -> TemporalPyramidNetwork:
        """The run's network; `weights` replaces the settings' initial weights."""
        modality, settings = MODALITIES[self.modality], self.settings
        if settings.backbone == "bninception" and settings.input_size % BN_INCEPTION_STRIDE:
            raise UserError(
                f"model.input_size: {settings.input_size} does not suit bninception; use a multiple of 32, as 224"
            )
        variant = settings.variant(self.variant)
        channels = modality.image_channels(variant.subsegment_length)
        backbone = build_backbone(
            settings.backbone,
            channels,
            modality.is_flow,
            settings.weights if weights is None else weights,
            settings.width,
            settings.input_size,
        )
        if settings.partial_bn:
            freeze_batch_norms(backbone)
        return TemporalPyramidNetwork(backbone, variant, len(self.classes), settings.stream(modality).dropout)


def save_run(
    path: Path,
    run: Run,
    network: TemporalPyramidNetwork,
    clips: Sequence[str] = (),
    fields: Mapping[str, Any] | None = None,
) -> None:
    """Write a trained run: weights, and everything that is needed to build the network again and feed it.

    `clips` are the ids of its training clips, `fields` the parameters by which their fields were made.
    """
    content = {"run": json.dumps(asdict(run)), "clips": list(clips), "versions": versions()}
    if fields is not None:
        content["fields"] = json.dumps(fields, sort_keys=True)
    with complete_file(path) as temporary:
        torch.save(content | {"weights": network.state_dict()}, temporary)


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return {**content, "run": json.loads(content["run"])}
    except Exception as error:  # torch raises many kinds for a foreign file
        raise UserError(f"{path}: not a trained run ({error}); train it again") from None


def training_clips(path: Path) -> frozenset[str]:
    """Ids of the clips on which a run was trained."""
    clips = _read(path).get("clips")
    if clips is None:
        raise UserError(f"{path}: does not say on which clips it was trained; train it again")
    return frozenset(clips)


def training_fields(path: Path) -> dict[str, Any]:
    """Parameters by which the fields of a run's training clips were made, as `stp.data.shards.ClipFields` has them."""
    text = _read(path).get("fields")
    if text is None:
        raise UserError(f"{path}: does not say how the fields it was trained on were made; train it again")
    parameters: dict[str, Any] = json.loads(text)
    return parameters


def load_run(path: Path) -> tuple[Run, TemporalPyramidNetwork]:
    """Read a trained run; the network is in evaluation mode on the CPU."""
    content = _read(path)
    values = content["run"]
    values["settings"] = Settings.from_dict(values["settings"])
    run = Run(**{**values, "classes": tuple(values["classes"])})
    network = run.build_network(weights="none")
    network.load_state_dict(content["weights"])
    return run, network.eval()
