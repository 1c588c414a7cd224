"""A run: a method on an input, a fold and a seed, with its classes and options."""

from dataclasses import asdict, dataclass
from typing import Any

from stp.config import FLOW_STREAM, RGB_STREAM, Model, Precision, Stream, Training, is_flow
from stp.data.modalities import MODALITIES, Modality
from stp.data.run_name import RunName
from stp.errors import UserError
from stp.models.backbones import Backbone, build_backbone
from stp.models.batch_norm import freeze_batch_norms
from stp.models.bninception import STRIDE as BN_INCEPTION_STRIDE


@dataclass(frozen=True)
class Run:
    """What is trained. `kind` is the file of the method in `stp/methods`, `options` that method's dataclass."""

    name: RunName
    kind: str
    classes: tuple[str, ...]
    options: Any

    def values(self) -> dict[str, Any]:
        """All of it but the kind as plain values, by the keys of model files."""
        name = self.name
        return {
            "modality": name.input,
            "variant": name.method,
            "fold": name.fold,
            "classes": self.classes,
            "settings": asdict(self.options),
            "seed": name.seed,
        }


@dataclass(frozen=True)
class NetworkOptions:
    """What every method with a network has: its backbone and its training; the defaults are the config's.

    One flat table of plain values, so that it travels as JSON on the command line and inside the model file. A method
    adds keys of its own in a subclass.
    """

    backbone: str = Model.backbone
    weights: str = Model.weights
    width: float = Model.width
    input_size: int = Model.input_size
    batch_videos: int = Training.batch_videos
    momentum: float = Training.momentum
    weight_decay: float = Training.weight_decay
    gradient_clip: float = Training.gradient_clip
    partial_bn: bool = Training.partial_bn
    precision: Precision = Training.precision
    deterministic: bool = Training.deterministic
    rgb: Stream = RGB_STREAM
    flow: Stream = FLOW_STREAM

    def stream(self, run_input: str) -> Stream:
        """The schedule of an input: that of RGB where the input has frames."""
        return self.flow if all(is_flow(name) for name in run_input.split("+")) else self.rgb


def single_modality(run: Run) -> Modality:
    """The one modality that a run sees; UserError for several or an unknown one."""
    if run.name.input not in MODALITIES:
        raise UserError(
            f"methods.{run.name.method}.inputs: '{run.name.input}', but this method sees one of "
            f"{', '.join(MODALITIES)} at a time"
        )
    return MODALITIES[run.name.input]


def run_backbone(options: NetworkOptions, modality: Modality, stack: int, weights: str | None = None) -> Backbone:
    """The backbone for images of `stack` fields of a modality; `weights` replaces the options' initial weights.

    Raises:
        UserError: what `build_backbone` raises.
    """
    if options.backbone == "bninception" and options.input_size % BN_INCEPTION_STRIDE:
        raise UserError(
            f"model.input_size: {options.input_size} does not suit bninception; use a multiple of 32, as 224"
        )
    channels = modality.channels * stack
    backbone = build_backbone(
        options.backbone,
        channels,
        modality.is_flow,
        options.weights if weights is None else weights,
        options.width,
        options.input_size,
    )
    if options.partial_bn:
        freeze_batch_norms(backbone)
    return backbone
