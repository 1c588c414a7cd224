"""Every method learns, is read again as it was written, repeats and resumes to the same bytes. A method is a row."""

import re
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stp import methods
from stp.config import Views, method_file
from stp.data.index import Clip
from stp.data.modalities import MODALITIES
from stp.data.run_name import RunName
from stp.data.shards import ClipFields, write_shard
from stp.errors import UserError
from stp.methods import Method, Recogniser, Task
from stp.methods.network import NetworkRecogniser
from stp.models.segment_network import SegmentNetwork
from stp.system.devices import Compute
from stp.system.signals import Stopped
from stp.training.checkpoints import Checkpoints, training_definition
from stp.training.log import read_log
from stp.training.loop import seed_run
from stp.training.model_file import TrainedOn, read_model
from stp.training.run import Run
from stp.training.session import Session
from tests import tiny_resnet
from tests.drawn_trajectories import stored_clips
from tests.runs import StopAfter

CPU = Compute(torch.device("cpu"))
CLASSES = ("down", "up")
CLIPS = [Clip(f"{CLASSES[i % 2]}/{i}", "", CLASSES[i % 2]) for i in range(8)]
UNSEEN = [Clip(f"unseen{i}/{clip.clip}", "", clip.label) for i in range(2) for clip in CLIPS]
ENOUGH = 15  # of 16: a network that has memorised its clips gets some 8
NAMES, UNSEEN_NAMES = [clip.clip for clip in CLIPS], [clip.clip for clip in UNSEEN]
STREAM = {"epochs": 8, "milestones": [6], "learning_rate": 0.02, "dropout": 0.0, "scales": [1]}
NETWORK: dict[str, Any] = {
    **{"backbone": "convnet", "weights": "none", "width": 0.5, "input_size": 32},
    **{"batch_videos": 4, "partial_bn": False, "rgb": STREAM, "flow": STREAM},
}
LONGER = {"rgb": STREAM | {"epochs": 16, "milestones": [12]}}
RESNET = LONGER | {"backbone": tiny_resnet.NAME, "width": 1.0}
# Batch norms of volumes need a while to know what they will see in scoring.
SETTLED = STREAM | {"epochs": 12, "milestones": [3]}
VIDEO = NETWORK | {"width": 0.1, "frames": 4, "rgb": SETTLED, "flow": SETTLED}
APPEARANCE = STREAM | {"epochs": 12, "milestones": [9], "learning_rate": 0.01}
C3D = NETWORK | {"backbone": "c3d", "width": 0.1, "frames": 8, "initial": "he", "rgb": APPEARANCE}
# The smallest of torchvision's that learns from so small images, in a few steps.
SWIN = STREAM | {"epochs": 3, "milestones": [2], "learning_rate": 0.01}
SWIN_TINY = NETWORK | {"backbone": "torchvision/swin3d_t", "width": 1.0, "frames": 2, "rgb": SWIN}


@dataclass(frozen=True)
class Row:
    """The name of a method's runs, its options, its input, and whether it is a network, or else sees features."""

    method: str
    options: dict[str, Any] = field(default_factory=dict)
    input: str = "of"
    network: bool = True

    def __str__(self) -> str:
        return f"{self.method}-{self.input}"


ROWS = [
    Row("baseline", NETWORK),
    Row("3-level", NETWORK),
    Row("3-level", NETWORK, "rgb"),
    Row("aligned-2-level", NETWORK | {"phase_prior": "learned"}),
    Row("two_stream", NETWORK),
    Row("dtpp", NETWORK | {"images": 5}),
    Row("tpp", NETWORK | {"images": 5, "encoding": 16}, "rgb+of"),
    Row("multiplier_net", NETWORK | RESNET | {"frames": 2}, "rgb+of"),
    Row("two_stream_fusion", NETWORK | {"frames": 3}, "rgb+of"),
    Row("trn", NETWORK | {"images": 4}),
    Row("tsm", NETWORK | {"frames": 4}),
    Row("tan", NETWORK | LONGER | {"postures": 3, "shared_width": 32, "lstm_width": 16}, "rgb+of"),
    Row("r2plus1d", VIDEO | {"backbone": "r2plus1d_18"}),
    Row("stpp", VIDEO | {"backbone": "r2plus1d_18", "levels": [1, 2]}),
    Row("stpp", VIDEO | {"backbone": "r2plus1d_18", "levels": [1, 2]}, "rgb"),
    Row("c3d", C3D),
    Row("c3d", C3D, "rgb"),
    Row("video_network", SWIN_TINY, "rgb"),
    Row("svm", network=False),
    Row("c3d_svm", network=False),
    Row("idt", {"gaussians": 4, "sample": 1000}, "idt", network=False),
    Row("idt", {"encoding": "bag_of_words", "words": 10, "sample": 1000}, "idt", network=False),
    Row(
        "mofap", {"gaussians": 2, "sample": 1000, "parts": 4, "segment_parts": 2, "candidates": 8}, "idt", network=False
    ),
    Row("mpov", {"gaussians": 4, "sample": 1000}, "idt+displacement", network=False),
]
NETWORKS = [row for row in ROWS if row.network]


a_tiny_resnet = tiny_resnet.a_tiny_resnet
pytestmark = pytest.mark.usefixtures("a_tiny_resnet")


def write_clips(folder: Path, clips: list[Clip], seed: int) -> dict[str, Path]:
    """Shards of clips drawn at random, by what they show.

    rgb                      frames with a bright upper or lower half, as the class says
    distractor               such frames, too, but in each class as many clips have either half bright
    of                       noise, in whose middle something moves up or down, as the class says
    features, displacement   numbers whose sign says the class
    """
    rng, other = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    kinds = {"rgb": "rgb", "distractor": "rgb", "of": "of", "features": "frozen-of", "displacement": "displacement"}
    files = {name: folder / f"{name}{seed}.h5" for name in kinds}
    with ExitStack() as stack:
        shards = {name: stack.enter_context(write_shard(files[name], kind, {})) for name, kind in kinds.items()}
        for i, clip in enumerate(clips):
            sign = 1 if clip.label == "down" else -1
            for name, lower in (("rgb", sign == 1), ("distractor", i // 2 % 2 == 0)):
                frames = other.integers(90, 110, (25, 3, 36, 48))
                frames[:, :, slice(18, 36) if lower else slice(0, 18)] += 100
                shards[name].write(clip.clip, frames.astype(np.uint8))
            fields = rng.integers(120, 137, (24, 2, 36, 48))
            fields[:, 1, 12:24, 18:30] += 80 * sign
            shards["of"].write(clip.clip, fields.astype(np.uint8))
            values = rng.normal(size=(6, 5)).astype(np.float32)
            values[:, 2] += 2 * sign
            shards["features"].store(clip.clip, values)
            shards["displacement"].store(clip.clip, np.repeat(values, 2, axis=0).cumsum(0))
    return files


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ClipFields]:
    """What all clips show: those that are trained on, and those that are scored, drawn in the same way."""
    folder = tmp_path_factory.mktemp("clips")
    made = [write_clips(folder, clips, seed) for clips, seed in ((CLIPS, 0), (UNSEEN, 2))]
    stored = {name: ClipFields([files[name] for files in made]) for name in made[0]}
    return stored | {"idt": stored_clips(folder / "idt.h5", CLIPS + UNSEEN, CLASSES)}


def seen(row: Row, stored: dict[str, ClipFields]) -> dict[str, ClipFields]:
    """What a method is given of each modality of its input: stored fields, or features.

    Beside flow, frames say nothing of the class: a network that does not see the motion learns nothing.
    """
    if row.input == "rgb+of":
        return {"rgb": stored["distractor"], "of": stored["of"]}
    features = not row.network and row.input in MODALITIES
    return {name: stored["features" if features else name] for name in row.input.split("+")}


def found(row: Row) -> tuple[Method, Run]:
    kind = method_file(row.method)
    method = methods.find(kind)
    run = method.run(RunName(row.input, row.method, 1), kind, CLASSES, row.options)
    method.check(run)
    return method, run


def fitted(row: Row, fields: dict[str, ClipFields], session: Session) -> Recogniser:
    method, run = found(row)
    return method.fit(Task(run, CLIPS, fields, CPU, session))


@dataclass(frozen=True)
class Alone:
    """The trainings that nothing disturbs: of each row one, which is trained when it is first asked for."""

    folder: Path
    stored: dict[str, ClipFields]
    trained: dict[int, Recogniser] = field(default_factory=dict)

    def recogniser(self, row: Row) -> Recogniser:
        number = ROWS.index(row)
        if number not in self.trained:
            self.trained[number] = fitted(row, seen(row, self.stored), Session(self.log(row)))
        return self.trained[number]

    def log(self, row: Row) -> Path:
        """The log of the training."""
        return self.folder / f"{ROWS.index(row)}.csv"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, stored: dict[str, ClipFields]) -> Alone:
    return Alone(tmp_path_factory.mktemp("alone"), stored)


def weights(recogniser: Recogniser, path: Path) -> dict[str, bytes]:
    """The bytes of a method's weights, by name, as its file holds them."""
    recogniser.save(path, TrainedOn(NAMES, {name: {} for name in recogniser.run.name.modalities}))
    return {name: value.numpy().tobytes() for name, value in read_model(path).weights.items()}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_method_learns_and_repeats_and_is_read_as_it_was_written(
    row: Row, stored: dict[str, ClipFields], alone: Alone, tmp_path: Path
) -> None:
    fields, views, recogniser = seen(row, stored), Views(3, 2), alone.recogniser(row)
    scores = recogniser.scores(UNSEEN_NAMES, fields, views, CPU)
    assert scores.dtype == np.float32
    assert scores.shape == (len(UNSEEN), 3 if row.network else 1, len(CLASSES))
    right = [CLASSES[number] == clip.label for number, clip in zip(scores.mean(1).argmax(1), UNSEEN, strict=True)]
    assert sum(right) >= ENOUGH
    assert read_log(alone.log(row))["accuracy"].iloc[-1] == 1
    bytes_of = weights(recogniser, tmp_path / "model.pt")
    assert len(bytes_of) > 1
    facts = recogniser.facts(TrainedOn(NAMES, {}))
    assert facts.pretraining == "none"
    assert facts.parameters > 0
    assert (facts.gmac > 0) == row.network
    again, read = methods.load(tmp_path / "model.pt")
    assert again.run == recogniser.run == found(row)[1]
    assert read.clips() == set(NAMES)
    assert np.array_equal(again.scores(UNSEEN_NAMES, fields, views, CPU), scores)
    second = fitted(row, fields, Session(tmp_path / "second.csv"))
    assert weights(second, tmp_path / "second.pt") == bytes_of


@pytest.mark.parametrize("row", NETWORKS, ids=str)
def test_a_network_that_is_killed_resumes_to_the_same_bytes(
    row: Row, stored: dict[str, ClipFields], alone: Alone, tmp_path: Path
) -> None:
    fields, (_, run) = seen(row, stored), found(row)
    definition = training_definition(run, CLIPS, fields, [], CPU.device)
    for batches in (3, 2):
        session = Session(tmp_path / "log.csv", Checkpoints(tmp_path / "state", definition), StopAfter(batches))
        with pytest.raises(Stopped):
            fitted(row, fields, session)
    torch.manual_seed(99)  # nothing may depend on what the process did before
    resumed = fitted(row, fields, Session(tmp_path / "log.csv", Checkpoints(tmp_path / "state", definition)))
    assert weights(resumed, tmp_path / "resumed.pt") == weights(alone.recogniser(row), tmp_path / "alone.pt")


def of_one_epoch(row: Row, **options: Any) -> Row:
    """A row whose training is one epoch."""
    streams = {name: row.options[name] | {"epochs": 1, "milestones": []} for name in ("rgb", "flow")}
    return replace(row, options=row.options | streams | options)


def begun(row: Row) -> SegmentNetwork:
    """The network of a row with the weights that its training begins with."""
    method, run = found(row)
    seed_run(run)
    network = method.prepare(run)
    assert isinstance(network, SegmentNetwork)
    return network


def added(network: SegmentNetwork, begun: SegmentNetwork) -> dict[str, torch.Tensor]:
    """What a training has added to the weights of the backbone, and to those above it."""
    parts: dict[str, list[torch.Tensor]] = {"backbone": [], "above": []}
    for (name, before), after in zip(begun.named_parameters(), network.parameters(), strict=True):
        parts["backbone" if name.startswith("backbone.") else "above"].append((after - before).flatten())
    return {part: torch.cat(values).detach().double() for part, values in parts.items()}


@pytest.mark.parametrize("row", NETWORKS, ids=str)
def test_a_step_and_scores_in_bfloat16_are_near_those_of_float32(
    row: Row, stored: dict[str, ClipFields], tmp_path: Path
) -> None:
    """Also of networks that see volumes or two modalities: on a GPU, `precision: auto` is bfloat16.

    Batch norms are frozen: where all of them learn, a random R(2+1)D is moved as far by a fifth of a grey level.
    """
    step = of_one_epoch(row, batch_videos=len(CLIPS), partial_bn=True, weight_decay=0.0)
    coarse = replace(step, options=step.options | {"precision": "bfloat16"})
    fields, start, moved, scores = seen(row, stored), begun(step), [], []
    for made in (step, coarse):
        recogniser = fitted(made, fields, Session(tmp_path / "log.csv"))
        assert isinstance(recogniser, NetworkRecogniser)
        moved.append(added(recogniser.scorer.network, start))
        scores.append(recogniser.scores(UNSEEN_NAMES[:4], fields, Views(2, 1), CPU))
    for part, least in (("backbone", 0.95), ("above", 0.99)):
        assert torch.cosine_similarity(moved[0][part], moved[1][part], dim=0) > least
    assert 0 < np.abs(scores[1] - scores[0]).max() < 0.1 * np.abs(scores[0]).max()


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ClipFields]:
    """Clips of 1 and 7 flow fields, and of 1 and 8 frames."""
    folder, rng, stored = tmp_path_factory.mktemp("short"), np.random.default_rng(0), {}
    for modality, lengths in (("rgb", (1, 8)), ("of", (1, 7))):
        with write_shard(folder / f"{modality}.h5", modality, {}) as shard:
            for clip, length in zip(CLIPS, lengths, strict=False):
                shape = (length, MODALITIES[modality].channels, 36, 48)
                shard.write(clip.clip, rng.integers(0, 256, shape, dtype=np.uint8))
        stored[modality] = ClipFields([folder / f"{modality}.h5"])
    return stored


@pytest.mark.parametrize("row", NETWORKS, ids=str)
def test_clips_shorter_than_a_sample_train_and_are_scored(
    row: Row, short: dict[str, ClipFields], tmp_path: Path
) -> None:
    fields = {name: short[name] for name in row.input.split("+")}
    method, run = found(of_one_epoch(row))
    recogniser = method.fit(Task(run, CLIPS[:2], fields, CPU, Session(tmp_path / "log.csv")))
    scores = recogniser.scores(NAMES[:2], fields, Views(3, 2), CPU)
    assert scores.shape == (2, 3, 2)
    assert np.isfinite(scores).all()
    assert not np.array_equal(scores[0], scores[1])


def test_unknown_methods_are_one_line() -> None:
    for kind in ("tow_stream", "network", "shallow"):
        with pytest.raises(
            UserError, match=rf"^method '{kind}' is unknown; allowed are baseline, T-level, aligned-T-level, .*svm"
        ):
            methods.find(kind)


def test_a_network_sees_one_modality() -> None:
    for kind in ("pyramid", "two_stream"):
        method = methods.find(kind)
        name = RunName("rgb+of", "3-level" if kind == "pyramid" else kind, 1)
        with pytest.raises(
            UserError,
            match=r"inputs: 'rgb\+of' is not a single modality, .* allowed are rgb, of, wof",
        ):
            method.check(method.run(name, kind, CLASSES, {}))


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        ("svm", {"parts": [0]}, "option parts: 0 is not allowed; allowed: 1 to 1000"),
        ("svm", {"C": -1}, "option C: -1 is not allowed"),
        ("svm", {"C": float("nan")}, "option C: nan is not allowed"),
        ("two_stream", {"flow_fields": 0}, "option flow_fields: 0 is not allowed; allowed: 1 to 100"),
        ("dtpp", {"images": 0}, "option images: 0 is not allowed; allowed: 1 to 1000"),
        ("dtpp", {"levels": []}, "option levels: names no level; give the parts of each, such as [1, 2, 4]"),
        ("tpp", {"images": 3}, "option levels: 4 parts of 3 images; give as many images, or fewer parts"),
        ("tpp", {"encoding": 0}, "option encoding: 0 is not allowed"),
        ("trn", {"images": 1}, "option images: 1 is not allowed; allowed: 2 to 16"),
        ("trn", {"subsample": 0}, "option subsample: 0 is not allowed; allowed: 1 to 1000"),
        ("tsm", {"frames": 1}, "option frames: 1 is not allowed; allowed: 2 to 1000"),
        ("tsm", {"shift_div": 1}, "option shift_div: 1 is not allowed; allowed: 2 to 1000"),
    ],
)
def test_an_options_value_out_of_range_is_refused_before_anything_is_trained(
    kind: str, values: dict[str, object], words: str
) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        methods.find(kind).run(RunName("of", kind, 1), kind, ("a", "b"), values)
