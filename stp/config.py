"""The config: its sections as dataclasses, the only place of the defaults, and the checks of keys against each other.

Defaults are the paper's values or, where the paper is silent, those of TSN (Wang et al. 2016), on which it builds.
Types and ranges are checked by `workflow/schemas/config.schema.yaml`; a test compares its defaults with these.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from stp.errors import UserError

OnBadVideo = Literal["error", "skip", "use"]
Scheme = Literal["random", "balanced", "grouped", "leave_one_group_out", "official"]
Semantics = Literal["opencv-cpu", "opencv-cuda"]
Detector = Literal["orb", "sift"]
FusionSpace = Literal["scores", "probabilities"]
Residence = Literal["auto", "always", "never"]
Compilation = Literal["auto", "always", "never"]
Sampling = Literal["starts", "clips"]
RgbFrame = Literal["any", "first"]
Precision = Literal["auto", "float32", "bfloat16"]
Balance = Literal["none", "sampling", "loss"]
Onset = Literal["aligned", "anywhere"]
PhasePrior = Literal["uniform", "learned"]

FUSED = (("rgb", "of"), ("of", "wof"), ("rgb", "of", "wof"))  # rows of Table 1 (paper section 4.1)
MOST_FPS = 1000  # frames per second
LATER = {
    "balance": "none",
    "sampling": "starts",
    "rgb_frame": "first",
}  # settings that versions had without having the keys
FLOW = ("of", "wof")  # modalities that one job computes together
FEWEST_ANYWHERE = 36  # frames of a clip of the demo whose action begins anywhere: three times the shortest action
DEMO_PIXELS = 50_000_000  # of a whole clip, which is drawn in some 2 GB
# What methods take from their publications instead of from section `model`, unless their entry says otherwise.
PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    "multiplier_net": {"backbone": "torchvision/resnet50"},
    "tsm": {"backbone": "torchvision/resnet50"},
    "c3d": {"backbone": "c3d", "weights": "sports1m", "width": 1.0, "input_size": 112},
    "r2plus1d": {"backbone": "r2plus1d_34", "weights": "ig65m+kinetics", "width": 1.0, "input_size": 112},
    "stpp": {"backbone": "torchvision/r3d_18", "weights": "kinetics", "width": 1.0, "input_size": 112},
    "video_network": {"backbone": "torchvision/r3d_18", "weights": "kinetics", "width": 1.0, "input_size": 112},
}
# Features that are inputs by their own names, made from several stored modalities or from one that no network sees.
FEATURE_SOURCES: Mapping[str, tuple[str, ...]] = {"idt": ("rgb", "of", "wof"), "displacement": ("first",)}
# Names listed in `variants`: the methods of stp/methods/pyramid.py, and with a prefix those of stp/methods/aligned.py.
PYRAMID = re.compile(r"baseline|(?P<aligned>aligned-)?(?P<levels>[1-9])-level")


@dataclass(frozen=True)
class Dataset:
    """The videos: the importer of their layout, their folder, the folder of the official lists, importer options."""

    importer: str
    path: str
    lists: str = ""
    options: Mapping[str, str | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Demo:
    """The embedded demo data set, drawn into `dataset.path`.

    With the onset `aligned`, an action fills its clip; with `anywhere` it takes a third of it and begins anywhere.
    """

    clips_per_class: int = 36
    frames: int = 24
    width: int = 128  # pixels
    height: int = 96
    actors: int = 6
    seed: int = 0
    onset: Onset = "aligned"


@dataclass(frozen=True)
class Frames:
    """Size of the stored frames in pixels (paper section 4.1), and their rate in frames per second.

    A rate of "native" keeps each video's frames as they are.
    """

    width: int = 340
    height: int = 256
    fps: float | Literal["native"] = "native"


@dataclass(frozen=True)
class StorageFormat:
    """How fields are stored: as they are, or as JPEG of quality 1..100 (95 is OpenCV's default, which TSN uses)."""

    format: Literal["raw", "jpeg"] = "raw"
    quality: int = 95


@dataclass(frozen=True)
class Flow:
    """TV-L1 flow; +-`bound` pixels/frame map to the bytes 0..255. A job has `threads`, with 0 those of other jobs."""

    backend: str = "auto"
    semantics: Semantics = "opencv-cpu"
    bound: float = 20
    threads: int = 0


@dataclass(frozen=True)
class WarpedFlow:
    """Flow without the camera's motion, which is estimated from key points of this detector."""

    detector: Detector = "orb"


@dataclass(frozen=True)
class Splits:
    """How clips are divided into folds."""

    scheme: Scheme = "random"
    folds: int = 3
    seed: int = 0


@dataclass(frozen=True)
class Pyramid:
    """Segments per training video (N), frames per segment (L), its sub-segments (K), and frames per sub-segment.

    `sampling` is where training segments start, and `rgb_frame` which frame of a sub-segment an RGB stream sees
    (`stp.sampling.segments`).
    """

    segments: int = 3
    sampling: Sampling = "starts"
    segment_length: int = 20
    subsegments: int = 4
    subsegment_length: int = 5
    rgb_frame: RgbFrame = "any"


@dataclass(frozen=True)
class Aligned:
    """The variants `aligned-T-level`, whose pyramid slides over a longer segment (`stp.models.aligned`).

    A training video has `segments` such segments. Each has `extra_subsegments` more sub-segments (m) than the pyramid
    covers. `temperature` is that of the smooth maximum over the m + 1 offsets, and `phase_prior` the share of each.
    """

    segments: int = 1
    extra_subsegments: int = 9
    temperature: float = 1.0
    phase_prior: PhasePrior = "uniform"


@dataclass(frozen=True)
class Model:
    """The backbone, its initial weights, the multiplier of its channels, and the side of its input in pixels."""

    backbone: str = "bninception"
    weights: str = "imagenet"
    width: float = 1.0
    input_size: int = 224


@dataclass(frozen=True)
class Stream:
    """Schedule of a stream; the learning rate falls to a tenth after each milestone (in epochs)."""

    epochs: int = 80
    milestones: tuple[int, ...] = (30, 60)
    learning_rate: float = 0.001
    dropout: float = 0.8
    scales: tuple[float, ...] = (1, 0.875, 0.75, 0.66)  # sides of training crops over the short side of the frame


RGB_STREAM = Stream()
FLOW_STREAM = Stream(320, (110, 250), 0.001, 0.7, (1, 0.875, 0.75))


@dataclass(frozen=True)
class Training:
    """SGD with TSN's good practices.

    `balance` evens out classes of different sizes: a clip of a class with n clips is drawn, or counts in the loss, in
    proportion to n ** -`balance_power` (`stp.sampling.samples.class_weights`).
    """

    seeds: tuple[int, ...] = (0,)
    batch_videos: int = 32
    momentum: float = 0.9
    weight_decay: float = 5e-4
    gradient_clip: float = 20
    partial_bn: bool = True
    balance: Balance = "none"
    balance_power: float = 1
    precision: Precision = "auto"
    deterministic: bool = False  # on GPUs; a CPU always repeats
    checkpoint_minutes: float = 5
    tensorboard: bool = False
    rgb: Stream = RGB_STREAM
    flow: Stream = FLOW_STREAM


@dataclass(frozen=True)
class Views:
    """How a clip is seen when it is scored: `segments` spread evenly over it, each in 1, 2, 5 or 10 `crops`."""

    segments: int = 25
    crops: int = 10


@dataclass(frozen=True)
class Fusion:
    """Weighted average of streams: the weight of each modality (paper section 4.1), and what is averaged.

    TSN averages scores before softmax; `probabilities` averages after it. `learned` adds fusions whose weights are
    fitted for each fold on the clips that the other folds test (`stp.evaluation.learned`). `methods` holds the
    weights of methods that have their own, as R(2+1)D's publication has. `combined` fuses methods with each other
    (`stp.evaluation.late_fusion`): the weights of the methods, by the name of the fusion.
    """

    space: FusionSpace = "scores"
    weights: Mapping[str, float] = field(default_factory=lambda: {"rgb": 1.0, "of": 1.5, "wof": 1.0})
    learned: bool = False
    methods: Mapping[str, Mapping[str, float]] = field(default_factory=lambda: {"r2plus1d": {"rgb": 0.6, "of": 0.4}})
    combined: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def of(self, method: str) -> Mapping[str, float]:
        """The weights of a method's streams."""
        return self.methods.get(method, self.weights)


@dataclass(frozen=True)
class Statistics:
    """Bootstrap resamples of the test clips, and their seed."""

    resamples: int = 10_000
    seed: int = 0


@dataclass(frozen=True)
class Explain:
    """Clips that guided Grad-CAM explains, and the runs that explain them; `target` is the config's key `class`.

    Figure 3 shows clips of `number` classes that `seed` picks; each of `clips` has a figure and a video of its own.
    """

    number: int = 4
    seed: int = 0
    clips: tuple[str, ...] = ()
    variants: tuple[str, ...] = ("baseline", "3-level")
    fold: int = 1
    target: str = "own"
    segments: int = 3


@dataclass(frozen=True)
class Examples:
    """Clips that are drawn as they are stored: `clips` or, if none is named, the first clip of `number` classes."""

    clips: tuple[str, ...] = ()
    number: int = 4


@dataclass(frozen=True)
class Overview:
    """Small videos of clips that are not recognised, in the page of results: how many, and their megabytes at most.

    They are made of clips whose videos do not lie in the results folder, or are of no kind that browsers play.
    """

    previews: int = 60
    megabytes: float = 10.0


@dataclass(frozen=True)
class Compute:
    """The resources that a job uses; they change results by rounding at most.

    Only micro-batches change more, where a backbone has dropout of its own, as C3D and VGG have.
    """

    device: str = "auto"
    resident: Residence = "auto"
    memory_share: float = 0.6  # of the free memory, divided by gpu_share
    micro_batch_videos: int = 0
    compile: Compilation = "auto"
    gpu_share: int = 1
    gpus: int = 1
    threads: int = 4
    mem_mb: int = 16_000
    runtime: int = 720  # minutes
    retries: int = 2


@dataclass(frozen=True)
class MethodEntry:
    """A method to train: the name of its runs, its file in `stp/methods`, the inputs it sees, and its own options.

    An input is one modality or several joined by `+`, or likewise features by their names (FEATURE_SOURCES). With
    `features`, the method sees those features of each modality, made by the file of that name in `stp/features`,
    instead of the stored fields.
    """

    name: str
    method: str
    inputs: tuple[str, ...]
    features: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def features_of(self, run_input: str) -> tuple[str, ...]:
        """The features that the method sees for an input, by the names of their files; none where it sees fields."""
        if self.features:
            return (self.features,)
        return tuple(part for part in run_input.split("+") if part in FEATURE_SOURCES)


def is_flow(modality: str) -> bool:
    """True if the fields of a modality are flow (x, y)."""
    return modality in FLOW


def method_file(name: str) -> str:
    """The file of a method in `stp/methods`, by the method's name alone: `baseline` and `T-level` are pyramids."""
    match = PYRAMID.fullmatch(name)
    if match:
        return "aligned" if match["aligned"] else "pyramid"
    return name


def suits(value: Any, kind: Any) -> bool:
    """True if a plain value, as from JSON or YAML, is of the type that a dataclass gives its field."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value in arguments
    if origin is UnionType:
        return any(suits(value, argument) for argument in arguments)
    if origin is tuple:  # tuple[x, ...]
        return isinstance(value, (list, tuple)) and all(suits(item, arguments[0]) for item in value)
    if kind in (int, float):  # true and false are integers in Python
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return not isinstance(kind, type) or isinstance(value, kind)


def check_range(key: str, values: Sequence[float], least: float, most: float) -> None:
    """Raise UserError for an option that has a value outside of least..most; options have no entry in the schema."""
    for value in values:
        if not least <= value <= most:
            raise UserError(f"config: option {key}: {value} is not allowed; allowed: {least} to {most}")


def from_values(section: type, values: Mapping[str, Any], where: str) -> Any:
    """A dataclass from a mapping of plain values, as from JSON or YAML; lists become tuples.

    A stream with only some of its keys takes the others from its default.

    Raises:
        UserError: a key does not exist, or its value is of another type; `where` tells the user which mapping it is in.
    """
    defaults, kinds = {item.name: item.default for item in fields(section)}, get_type_hints(section)
    plain = {}
    for name, value in values.items():
        if name not in defaults:
            raise UserError(f"{where}: unknown key '{name}'; allowed are {', '.join(defaults)}")
        default, kind = defaults[name], kinds[name]
        if isinstance(default, Stream) and isinstance(value, Mapping):
            value = replace(default, **vars(from_values(Stream, vars(default) | dict(value), f"{where}: {name}")))
        if not suits(value, kind):
            words = kind.__name__ if kind in (int, float, str, bool) else str(kind).removeprefix("typing.")
            raise UserError(f"{where}: {name}: {value!r} is not of type {words}")
        plain[name] = tuple(value) if isinstance(value, list) else value
    return section(**plain)


@dataclass(frozen=True)
class Config:
    """A whole config; each attribute is a section or key of the same name."""

    dataset: Dataset
    results: str = "results"
    demo: Demo | None = None
    on_bad_video: OnBadVideo = "error"
    shards: int = 16
    frames: Frames = Frames()
    storage: StorageFormat = StorageFormat()
    flow: Flow = Flow()
    warped_flow: WarpedFlow = WarpedFlow()
    splits: Splits = Splits()
    modalities: tuple[str, ...] = ("rgb", "of", "wof")
    variants: tuple[str, ...] = ("baseline", "1-level", "2-level", "3-level", "4-level")
    methods: tuple[MethodEntry, ...] = ()
    features: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pyramid: Pyramid = Pyramid()
    aligned: Aligned = Aligned()
    model: Model = Model()
    training: Training = Training()
    scoring: Views = Views()
    fusion: Fusion = field(default_factory=Fusion)
    comparison: tuple[str, ...] = ("table2",)
    statistics: Statistics = Statistics()
    submission: str = "none"
    explain: Explain = Explain()
    examples: Examples = Examples()
    overview: Overview = Overview()
    compute: Compute = Compute()

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "Config":
        """A config from plain values with types that the schema has checked; missing keys take their defaults.

        Raises:
            UserError: a key is unknown, or keys contradict each other.
        """
        plain = dict(values)
        for item in fields(cls):
            section = SECTIONS.get(item.name)
            if section and item.name in plain:
                plain[item.name] = from_values(section, _unfolded(item.name, plain[item.name]), f"config: {item.name}")
        if "methods" in plain:
            plain["methods"] = tuple(_method_entry(name, entry) for name, entry in plain["methods"].items())
        config: Config = from_values(cls, plain, "config")
        _check(config)
        return config

    @property
    def trained(self) -> tuple[MethodEntry, ...]:
        """Every method that is trained: the pyramids of the short form `variants` x `modalities`, then `methods`."""
        pyramids = (MethodEntry(name, method_file(name), self.modalities) for name in self.variants)
        return (*pyramids, *self.methods)

    def method(self, name: str) -> MethodEntry:
        """The trained method of this name; UserError if there is none."""
        for entry in self.trained:
            if entry.name == name:
                return entry
        raise UserError(f"config: '{name}' is not trained; methods are {', '.join(item.name for item in self.trained)}")

    @property
    def first_person(self) -> list[str]:
        """The names of the methods that see first-person videos, or features made from them."""
        return [
            entry.name
            for entry in self.methods
            for part in "+".join(entry.inputs).split("+")
            if "first" in (self.sources(part) if part in FEATURE_SOURCES else (part,))
        ]

    def sources(self, kind: str) -> tuple[str, ...]:
        """The stored modalities that features of FEATURE_SOURCES are made from."""
        if self.features.get(kind, {}).get("flow") == "farneback":  # computed from the frames
            return ("rgb",)
        return FEATURE_SOURCES[kind]

    def stored(self, name: str, run_input: str) -> list[str]:
        """The data of each clip that a method sees for an input, as names of folders below `clips`."""
        features = self.method(name).features
        return [f"{features}-{modality}" if features else modality for modality in run_input.split("+")]

    def settings(self, name: str, run_input: str) -> dict[str, Any]:
        """Everything that defines the training of a method on an input, except data, fold and seed: values by key.

        The values are plain. Except for pyramids, the method's file is given under "method". A method that sees
        features has only its own options. Values that cannot change the result are left out, so that a change to them
        trains nothing again.
        """
        entry = self.method(name)
        own: dict[str, Any] = dict(entry.options)
        is_pyramid = entry.method in ("pyramid", "aligned")
        if not is_pyramid:
            own["method"] = entry.method
        if entry.features_of(run_input):
            return own
        kinds = {"flow" if is_flow(modality) else "rgb" for modality in run_input.split("+")}
        unused = {"seeds", "checkpoint_minutes", "tensorboard"} | ({"rgb", "flow"} - kinds)
        training = {key: value for key, value in _plain(self.training).items() if key not in unused}
        if is_pyramid:
            sections = _plain(self.pyramid) | (_plain(self.aligned) if entry.method == "aligned" else {})
            unused |= {"segment_length", "subsegments"} if name == "baseline" else set()
            unused |= set() if "rgb" in kinds else {"rgb_frame"}
            own = {key: value for key, value in sections.items() if key not in unused} | own
        # An entry's streams have only the keys that differ from those of `training`.
        streams = {kind: training[kind] | own[kind] for kind in sorted(kinds & own.keys())}
        own = {key: value for key, value in own.items() if key not in ("rgb", "flow")} | streams
        return without_later(_plain(self.model) | training | dict(PUBLISHED.get(entry.method, {})) | own)

    def methods_to_check(self) -> list[dict[str, Any]]:
        """The facts by which a check tells if each method of section `methods` can be trained on each of its inputs.

        The keys are name, input, settings and features, the options of the features that it sees by their names.
        """
        return [
            {
                "name": entry.name,
                "input": name,
                "settings": self.settings(entry.name, name),
                "features": {kind: self.features.get(kind, {}) for kind in entry.features_of(name)},
            }
            for entry in self.methods
            for name in entry.inputs
        ]


def without_later(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without later keys whose value is what versions did that had no such keys.

    Runs of those versions have these settings, too, and need not be trained again.
    """
    left_out = {key for key, value in LATER.items() if settings.get(key) == value}
    if "balance" in left_out:
        left_out.add("balance_power")
    return {key: value for key, value in settings.items() if key not in left_out}


SECTIONS: dict[str, type] = {
    "dataset": Dataset,
    "demo": Demo,
    "frames": Frames,
    "storage": StorageFormat,
    "flow": Flow,
    "warped_flow": WarpedFlow,
    "splits": Splits,
    "pyramid": Pyramid,
    "aligned": Aligned,
    "model": Model,
    "training": Training,
    "scoring": Views,
    "fusion": Fusion,
    "statistics": Statistics,
    "explain": Explain,
    "examples": Examples,
    "overview": Overview,
    "compute": Compute,
}


def _unfolded(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """A section's values, completed: default fusion weights are filled in, and explain's `class` becomes `target`."""
    unfolded = dict(values)
    if name == "fusion":
        unfolded["weights"] = {**Fusion().weights, **unfolded.get("weights", {})}
    if name == "explain" and "class" in unfolded:
        unfolded["target"] = unfolded.pop("class")
    return unfolded


def _plain(section: Any) -> dict[str, Any]:
    """A section's values by key, as YAML has them: tuples are lists."""

    def plain(value: Any) -> Any:
        if isinstance(value, tuple):
            return list(value)
        return _plain(value) if isinstance(value, Stream) else value

    return {item.name: plain(getattr(section, item.name)) for item in fields(section)}


def _method_entry(name: str, values: Mapping[str, Any]) -> MethodEntry:
    options = dict(values)
    method, features = options.pop("method", name), options.pop("features", "")
    return MethodEntry(name, method, tuple(options.pop("inputs")), features, options)


def _check(config: Config) -> None:
    """Raise UserError if keys contradict each other."""
    _check_folders(config)
    if config.demo:
        _check_demo(config.demo)
    _check_methods(config)
    _check_micro_batches(config)
    if config.compute.compile == "always" and config.compute.micro_batch_videos:
        raise UserError(
            "config: compute.compile: always, beside compute.micro_batch_videos; use never, or 0 micro-batch videos"
        )
    _check_fusion(config)
    _check_combined(config)
    if config.submission != "none":
        if config.splits.folds != 1:
            raise UserError(
                f"config: submission: '{config.submission}' with splits.folds {config.splits.folds}; hidden clips are "
                "scored by the one fold of an official split: set splits.folds: 1, or submission: none"
            )
        if config.submission not in config.variants:
            raise UserError(
                f"config: submission: '{config.submission}' is not trained; allowed are none, "
                f"{', '.join(config.variants)}"
            )
    _check_explained(config)


def _check_micro_batches(config: Config) -> None:
    """Raise UserError if micro-batches are wanted, and all batch norms of a network that is trained shall learn."""
    if not config.compute.micro_batch_videos:
        return
    for entry in config.trained:
        if any(config.settings(entry.name, name).get("partial_bn") is False for name in entry.inputs):
            key = f"methods.{entry.name}" if "partial_bn" in entry.options else "training"
            raise UserError(
                "config: compute.micro_batch_videos: only one batch norm may learn from the batch, or results change; "
                f"set {key}.partial_bn: true, or compute.micro_batch_videos: 0"
            )


def _check_fusion(config: Config) -> None:
    """Raise UserError if fusions shall be learned, and there is nothing to learn from or nothing to fuse."""
    if config.fusion.learned and config.splits.folds == 1:
        raise UserError(
            "config: fusion.learned: true with splits.folds 1; weights are fitted on clips that other folds test: use "
            "more folds, or fusion.learned: false"
        )
    if config.fusion.learned and not fused_inputs(config.modalities):
        raise UserError(
            f"config: fusion.learned: true, but of the modalities {', '.join(config.modalities)} no two are fused; "
            f"fusions are {', '.join('+'.join(streams) for streams in FUSED)}"
        )


def _check_combined(config: Config) -> None:
    """Raise UserError if methods shall be fused with each other that are not trained, or under the name of one."""
    trained = [entry.name for entry in config.trained]
    for name, weights in config.fusion.combined.items():
        key = f"config: fusion.combined.{name}"
        if name in trained:
            raise UserError(f"{key}: the name is that of a method; choose another, for example {'+'.join(weights)}")
        if unknown := [method for method in weights if method not in trained]:
            raise UserError(f"{key}: '{unknown[0]}' is not trained; methods are {', '.join(trained)}")
        if len(weights) < 2:
            raise UserError(f"{key}: fuses one method; name two or more, each with its weight")


def _check_demo(demo: Demo) -> None:
    """Raise UserError if a clip of the demo is too short, or, drawn as a whole, would take too much memory."""
    if demo.onset == "anywhere" and demo.frames < FEWEST_ANYWHERE:
        raise UserError(
            f"config: demo.frames: {demo.frames} is too short for an action that begins anywhere; "
            f"give {FEWEST_ANYWHERE} or more"
        )
    pixels = demo.frames * demo.width * demo.height
    if pixels > DEMO_PIXELS:
        raise UserError(
            f"config: demo: frames x width x height: {demo.frames} x {demo.width} x {demo.height} are {pixels} pixels, "
            f"but a clip may have {DEMO_PIXELS}; lower one of them"
        )


def _check_folders(config: Config) -> None:
    """Raise UserError if the demo would be drawn outside the results, or if the results lie in the folder of videos.

    The demo's folder is an output, which Snakemake clears before drawing: it must never be a folder of the user's.
    """
    results, videos = Path(config.results).resolve(), Path(config.dataset.path).resolve()
    if config.demo and results not in videos.parents:
        raise UserError(
            f"config: dataset.path: '{config.dataset.path}' lies outside of the results folder '{config.results}', but "
            "section demo draws videos there; remove section demo to use videos of your own"
        )
    if not config.demo and videos in (results, *results.parents):
        raise UserError(
            f"config: results: '{config.results}' lies in dataset.path '{config.dataset.path}', so that results would "
            "be taken for videos; name another folder for one of them"
        )


def _check_methods(config: Config) -> None:
    for entry in config.methods:
        key = f"config: methods.{entry.name}"
        if PYRAMID.fullmatch(entry.name):
            raise UserError(f"{key}: the name is that of a pyramid; list it in variants, or choose another name")
        for name in entry.inputs:
            parts = name.split("+")
            allowed = (*config.modalities, "first", *(() if entry.features else FEATURE_SOURCES))
            if len(set(parts)) < len(parts) or not set(parts) <= set(allowed):
                raise UserError(
                    f"{key}.inputs: '{name}' is neither an input of this config nor several joined by +; they are "
                    f"{', '.join(allowed)}"
                )
            for kind in FEATURE_SOURCES.keys() & set(parts):
                if missing := [part for part in config.sources(kind) if part in FLOW and part not in config.modalities]:
                    raise UserError(
                        f"{key}.inputs: '{kind}' is made from {', '.join(config.sources(kind))}; add "
                        f"{', '.join(missing)} to modalities"
                        + (", or set features.idt.flow: farneback" if kind == "idt" else "")
                    )
        seen = [frozenset(name.split("+")) for name in entry.inputs]
        for name, parts_seen in zip(entry.inputs, seen, strict=True):
            fused = any(set(streams) == parts_seen <= set(entry.inputs) for streams in FUSED)
            if fused or seen.count(parts_seen) > 1:
                other = "the fusion of its parts, which are inputs, too" if fused else "another input of the same parts"
                raise UserError(
                    f"{key}.inputs: tables would take '{name}' for {other}; give it an entry of its own, such as "
                    f"{entry.name}-joint: {{method: {entry.method}, inputs: [{name}]}}"
                )
        unweighted = (set(entry.inputs) & set(FUSED[-1])) - set(config.fusion.of(entry.name))
        if len(entry.inputs) > 1 and unweighted:
            raise UserError(
                f"config: fusion.methods.{entry.name}: has no weight for {', '.join(sorted(unweighted))}, which the "
                "method is trained on; add it"
            )
    for name in config.features:
        if name not in {kind for entry in config.methods for seen in entry.inputs for kind in entry.features_of(seen)}:
            raise UserError(
                f"config: features.{name}: no method uses these; name them in features or inputs of methods.METHOD"
            )


def _check_explained(config: Config) -> None:
    explain = config.explain
    if (explain.clips or explain.number) and explain.fold > config.splits.folds:
        raise UserError(
            f"config: explain.fold: {explain.fold} is none of the {config.splits.folds} folds of splits.folds"
        )
    if not explain.clips:
        return
    if len({clip.replace("/", "__") for clip in explain.clips}) < len(explain.clips):
        raise UserError("config: explain.clips: two of them would be written to one file, because / is written as __")
    for name in explain.variants:
        if name not in config.variants:
            raise UserError(
                f"config: explain.variants: '{name}' is not trained; variants are {', '.join(config.variants)}"
            )


def fused_inputs(modalities: Sequence[str]) -> list[str]:
    """The fused rows of Table 1 (paper section 4.1) that have all their streams, such as `rgb+of`."""
    return ["+".join(streams) for streams in FUSED if set(streams) <= set(modalities)]
