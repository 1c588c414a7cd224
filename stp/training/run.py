"""A run: a method on an input, a fold and a seed, with its classes and options."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from stp.config import (
    FLOW,
    FLOW_STREAM,
    RGB_STREAM,
    Balance,
    Model,
    Precision,
    Stream,
    Training,
    is_flow,
    without_later,
)
from stp.data.modalities import MODALITIES, Modality
from stp.data.run_name import RunName
from stp.errors import UserError
from stp.models.backbones import Backbone, build_backbone
from stp.models.batch_norm import freeze_batch_norms
from stp.models.bninception import STRIDE as BN_INCEPTION_STRIDE

if TYPE_CHECKING:
    from stp.models.video_backbones import VideoBackbone


@dataclass(frozen=True)
class Run:
    """A run. `kind` is the file of its method in `stp/methods`, `options` an instance of that method's dataclass."""

    name: RunName
    kind: str
    classes: tuple[str, ...]
    options: Any

    def values(self) -> dict[str, Any]:
        """The run without its kind, as plain values under the keys of model files."""
        name = self.name
        return {
            "modality": name.input,
            "variant": name.method,
            "fold": name.fold,
            "classes": self.classes,
            "settings": without_later(asdict(self.options)),
            "seed": name.seed,
        }


@dataclass(frozen=True)
class NetworkOptions:
    """The options of every method with a network: its backbone and its training. The defaults are the config's.

    The options are one flat table of plain values, so that they can be passed as JSON on the command line and stored in
    the model file. A method adds its own keys in a subclass.
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
    balance: Balance = Training.balance
    balance_power: float = Training.balance_power
    precision: Precision = Training.precision
    deterministic: bool = Training.deterministic
    rgb: Stream = RGB_STREAM
    flow: Stream = FLOW_STREAM

    def stream(self, run_input: str) -> Stream:
        """The schedule for an input: that of flow if all its modalities are flow, otherwise that of RGB."""
        return self.flow if all(is_flow(name) for name in run_input.split("+")) else self.rgb


def single_modality(run: Run) -> Modality:
    """The single modality that a run sees; UserError if it has several, or an unknown one."""
    if run.name.input not in MODALITIES:
        raise UserError(
            f"methods.{run.name.method}.inputs: '{run.name.input}' is not a single modality, which this method needs; "
            f"allowed are {', '.join(MODALITIES)}"
        )
    return MODALITIES[run.name.input]


def fields_of_image(run: Run) -> int:
    """The number of stored fields in an image of a method that sees stacks of `flow_fields`: one for RGB."""
    fields: int = run.options.flow_fields
    return fields if single_modality(run).is_flow else 1


def joint_modalities(run: Run) -> tuple[Modality, Modality]:
    """RGB and flow, which a run sees together; UserError if its input is another."""
    names = run.name.modalities
    if len(names) != 2 or names[0] != "rgb" or not is_flow(names[1]):
        raise UserError(
            f"methods.{run.name.method}.inputs: '{run.name.input}' is not RGB and flow together, which this method "
            f"needs; allowed are {', '.join(f'rgb+{name}' for name in FLOW)}"
        )
    return MODALITIES["rgb"], MODALITIES[names[1]]


def image_channels(name: RunName, columns: Sequence[int]) -> int:
    """Channels of a run's images, which have `columns` fields of each modality of its input."""
    return sum(MODALITIES[part].channels * fields for part, fields in zip(name.modalities, columns, strict=True))


def run_backbone(options: NetworkOptions, modality: Modality, stack: int, weights: str | None = None) -> Backbone:
    """The backbone for images of `stack` fields of a modality; `weights` replaces the options' initial weights.

    Raises:
        UserError: the input size does not suit the backbone, or as `build_backbone` raises.
    """
    if options.backbone == "bninception" and options.input_size % BN_INCEPTION_STRIDE:
        raise UserError(
            f"model.input_size: {options.input_size} does not suit bninception; use a multiple of 32, such as 224"
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


def run_video_backbone(
    options: NetworkOptions, modality: Modality, frames: int, weights: str | None = None
) -> "VideoBackbone":
    """The video network for stacks of `frames` frames; `weights` replaces the options' initial weights.

    Raises:
        UserError: as `build_video_backbone` raises.
    """
    from stp.models.video_backbones import build_video_backbone  # here: most runs do not need torchvision

    chosen = options.weights if weights is None else weights
    backbone = build_video_backbone(options.backbone, modality, frames, chosen, options.width, options.input_size)
    if options.partial_bn:
        freeze_batch_norms(backbone)
    return backbone
