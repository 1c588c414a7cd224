"""Options that several subcommands share, and functions that parse and check them."""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stp.config import FUSED, MOST_FPS, Fusion, FusionSpace
from stp.errors import UserError
from stp.system.machine import processors

if TYPE_CHECKING:
    from stp.evaluation.scores import Scores

Output = Annotated[Path, typer.Option("-o", "--output", help="File to write.")]
Stem = Annotated[Path, typer.Option("-o", "--output", help="Stem of the files to write.")]
Text = Annotated[Path, typer.Option(help="Markdown file to write, for reading.")]
ExistingFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False)]
ExistingFiles = Annotated[list[Path], typer.Argument(exists=True, dir_okay=False)]
Reported = Annotated[Path, typer.Option(exists=True, dir_okay=False, help="csv of the figures that others report.")]

BackendName = Annotated[
    str, typer.Option(help="auto, numba, triton (NVIDIA GPUs), torch, opencv or opencv-cuda; auto is numba.")
]
Semantics = Literal["opencv-cpu", "opencv-cuda"]
Detector = Literal["orb", "sift"]
Storage = Annotated[
    Literal["raw", "jpeg"],
    typer.Option(help="raw: bytes as they are; jpeg: for data sets that are too large for that."),
]
Quality = Annotated[int, typer.Option(min=1, max=100, help="JPEG quality.")]

Fps = Annotated[
    str, typer.Option(metavar="N", help="Frames per second, by the videos' time stamps; native: as they are.")
]

MODALITIES = tuple(Fusion().weights)
MOST_WEIGHT = 1_000_000  # as of the config's fusion.weights
WEIGHTS = ",".join(f"{name}={weight:g}" for name, weight in Fusion().weights.items())
Weights = Annotated[str, typer.Option(help=f"Weight of each stream, such as {WEIGHTS}.")]
Space = Annotated[FusionSpace, typer.Option(help="What is averaged: scores before softmax, or probabilities.")]

MethodWeights = Annotated[
    list[str] | None,
    typer.Option(
        "--method-weights",
        help="Weights of a method's streams, where it has its own, such as r2plus1d:rgb=0.6,of=0.4; repeat for more.",
    ),
]
COMBINED = "3-level+idt:3-level=1,idt=1"
Combined = Annotated[
    list[str] | None,
    typer.Option(help=f"Methods to fuse with each other, and their weights, such as {COMBINED}; repeat for more."),
]
Resamples = Annotated[int, typer.Option(min=1, help="Bootstrap resamples of the test clips.")]
ResampleSeed = Annotated[int, typer.Option(min=0, help="Seed of the resamples.")]
Learned = Annotated[
    bool, typer.Option("--learned", help="Rows of fusions, too, whose weights are fitted on other folds' test scores.")
]

Keep = Annotated[
    bool,
    typer.Option(
        "--keep",
        help="Keep what is written under a second name, too, FILE.kept (a hard link): the next call takes over from "
        "there what has not changed.",
    ),
]
Threads = Annotated[int, typer.Option(min=1, help="Processor threads to use.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Resident = Annotated[
    Literal["auto", "always", "never"],
    typer.Option(help="Load all fields into the device's memory; auto: if they fit."),
]
MemoryShare = Annotated[
    float, typer.Option(min=0.01, max=1, help="Share of the free memory that the loaded fields may take.")
]
GpuShare = Annotated[
    int, typer.Option(min=1, help="Number of runs that may share a GPU, unless --device names it by its number.")
]


def parse_options(texts: list[str]) -> dict[str, str]:
    """Values by name from texts such as `view=second`; UserError for anything else."""
    options = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or name in options:
            raise UserError(f"--option: '{text}' is not of the form NAME=VALUE, or is given twice")
        options[name] = value
    return options


def parse_weights(weights: str, option: str = "--weights", names: Collection[str] = MODALITIES) -> dict[str, float]:
    """`rgb=1,of=1.5` -> weights by modality, or by others of `names`, if there are any; bounds are the config's.

    Raises:
        UserError: the text has another form, another name or one twice, or a weight that the config refuses.
    """
    try:
        pairs = [(name, float(value)) for name, value in (part.split("=") for part in weights.split(","))]
    except ValueError:
        raise UserError(f"{option}: '{weights}' is not of the form {WEIGHTS}") from None
    for name, weight in pairs:
        if names and name not in names:
            raise UserError(f"{option}: '{weights}': '{name}' is none of {', '.join(names)}")
        if not name or not 0 < weight <= MOST_WEIGHT:  # nan is not
            raise UserError(f"{option}: '{weights}': weights are above 0 and at most {MOST_WEIGHT}, such as {WEIGHTS}")
    if len(dict(pairs)) < len(pairs):
        raise UserError(f"{option}: '{weights}' has a name twice; give each one weight")
    return dict(pairs)


def parse_fusion(weights: str, space: FusionSpace, learned: bool = False, method_weights: Sequence[str] = ()) -> Fusion:
    """The fusion with these weights, and those of methods that have their own; UserError for texts of another form."""
    methods = parse_named_weights(method_weights, "--method-weights", f"METHOD:{WEIGHTS}", MODALITIES)
    return Fusion(space, parse_weights(weights), learned, methods)


def parse_named_weights(
    texts: Sequence[str], option: str, form: str, names: Collection[str] = ()
) -> dict[str, dict[str, float]]:
    """`r2plus1d:rgb=0.6,of=0.4` -> weights by the name before them; UserError for texts of another form.

    The weights are those of `names` or, if there are none, of anything.
    """
    found: dict[str, dict[str, float]] = {}
    for text in texts:
        name, colon, words = text.partition(":")
        if not colon:
            raise UserError(f"{option}: '{text}' is not of the form {form}")
        if name in found:
            raise UserError(f"{option}: '{name}' is given twice; give it once")
        found[name] = parse_weights(words, option, names)
    return found


def parse_size(text: str) -> tuple[int, int]:
    """`340x256` -> width and height; UserError for anything else."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if not match:
        raise UserError(f"--size: '{text}' is not of the form WIDTHxHEIGHT, for example 340x256")
    return int(match[1]), int(match[2])


def parse_fps(text: str) -> float | None:
    """`native` -> None, `25` -> 25.0; UserError for anything else."""
    if text == "native":
        return None
    if not re.fullmatch(r"\d+(\.\d+)?", text) or not 0 < float(text) <= MOST_FPS:
        raise UserError(f"--fps: '{text}' is neither native nor a number of frames per second up to {MOST_FPS}")
    return float(text)


def parse_threads(text: str) -> int:
    """`all` -> the processors that this process may use, `4` -> 4; UserError for anything else."""
    if text == "all":
        return processors()
    if not re.fullmatch(r"[1-9]\d*", text):
        raise UserError(f"--threads: '{text}' is neither all nor a whole number of at least 1")
    return int(text)


def parse_json(text: str, option: str) -> Any:
    """A value from JSON; if the text is not JSON, a UserError that names the option."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{option}: not JSON ({error}); give for example '{{\"batch_videos\": 16}}'") from None


def check_crops(crops: int) -> None:
    """Raise UserError if `crops` is not a possible number of test crops."""
    from stp.sampling.crops import TEST_CROPS

    if crops not in TEST_CROPS:
        raise UserError(f"--crops: {crops} is none of {', '.join(map(str, TEST_CROPS))}")


def check_new(files: dict[str, Path | None]) -> None:
    """Raise UserError if an option names a file that exists, or a file that another option names, too."""
    named = [(option, path) for option, path in files.items() if path]
    for option, path in named:
        if path.exists():
            raise UserError(f"{option}: '{path}' exists; move it away or choose another name")
        if [other.resolve() for _, other in named].count(path.resolve()) > 1:
            raise UserError(f"{option}: '{path}' is named by another option, too; choose another name")


def read_all_scores(paths: list[Path], fusion: Fusion, hidden: bool = False) -> "list[Scores]":
    """Read the scores of all files: of clips with known labels or, with `hidden`, with hidden ones.

    Raises:
        UserError: the labels of a file are of the other sort, or a modality that is fused has no weight.
    """
    from stp.evaluation.scores import read_scores

    runs = [read_scores(path) for path in paths]
    for path, run in zip(paths, runs, strict=True):
        if bool((run.labels < 0).any()) != hidden:
            raise UserError(f"{path}: scores of clips whose labels are {'known' if hidden else 'hidden'}; leave it out")
    unweighted = ({run.run.input for run in runs} & set(FUSED[-1])) - set(fusion.weights)
    if unweighted:
        raise UserError(f"--weights: no weight for {', '.join(sorted(unweighted))}; give {WEIGHTS}")
    return runs


@contextmanager
def gpu_of_flow(engine: str) -> Iterator[None]:
    """Reserve a GPU while the block runs, for backends that compute on one; torch does where there is one."""
    if engine not in ("triton", "torch", "opencv-cuda"):
        yield
        return
    from stp.system.devices import reserved_device, use  # imports torch

    with reserved_device() as device:
        use(device)
        if engine == "opencv-cuda":
            from stp.flow.opencv_engines import use_gpu

            use_gpu(device.index or 0)
        yield
