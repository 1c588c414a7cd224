"""Every method learns, is read again as it was written, repeats and resumes to the same bytes. A method is a row."""

import re
from dataclasses import dataclass, field
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
from stp.system.devices import Compute
from stp.system.signals import Stopped
from stp.training.checkpoints import Checkpoints, training_definition
from stp.training.log import read_log
from stp.training.model_file import TrainedOn, read_model
from stp.training.run import Run
from stp.training.session import Session
from tests import tiny_resnet
from tests.drawn_trajectories import stored_clips
from tests.runs import StopAfter

CPU = Compute(torch.device("cpu"))
CLASSES = ("down", "up")
CLIPS = [Clip(f"{CLASSES[i % 2]}/{i}", "", CLASSES[i % 2]) for i in range(8)]
NAMES = [clip.clip for clip in CLIPS]
STREAM = {"epochs": 8, "milestones": [6], "learning_rate": 0.02, "dropout": 0.0, "scales": [1]}
NETWORK: dict[str, Any] = {
    **{"backbone": "convnet", "weights": "none", "width": 0.5, "input_size": 32},
    **{"batch_videos": 4, "partial_bn": False, "rgb": STREAM, "flow": STREAM},
}
RESNET = {"backbone": tiny_resnet.NAME, "width": 1.0, "rgb": STREAM | {"epochs": 16, "milestones": [12]}}
# Batch norms of volumes need a while to know what they will see in scoring.
SETTLED = STREAM | {"epochs": 12, "milestones": [3]}
VIDEO = NETWORK | {"width": 0.1, "frames": 4, "rgb": SETTLED, "flow": SETTLED}
C3D = NETWORK | {"backbone": "c3d", "width": 0.1, "frames": 8, "initial": "he"}


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
    Row("tan", NETWORK | {"postures": 3, "shared_width": 32, "lstm_width": 16}, "rgb+of"),
    Row("r2plus1d", VIDEO | {"backbone": "r2plus1d_18"}),
    Row("stpp", VIDEO | {"backbone": "r2plus1d_18", "levels": [1, 2]}),
    Row("c3d", C3D),
    Row("video_network", VIDEO | {"backbone": "r2plus1d_18"}, "rgb"),
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


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ClipFields]:
    """Frames with a bright upper or lower half, flow in whose middle something moves up or down, and features."""
    rng, other = np.random.default_rng(0), np.random.default_rng(1)
    folder = tmp_path_factory.mktemp("clips")
    files = {name: folder / f"{name}.h5" for name in ("rgb", "of", "features", "displacement")}
    with (
        write_shard(files["rgb"], "rgb", {}) as rgb,
        write_shard(files["of"], "of", {}) as flow,
        write_shard(files["features"], "frozen-of", {}) as features,
        write_shard(files["displacement"], "displacement", {}) as displacement,
    ):
        for clip in CLIPS:
            sign = 1 if clip.label == "down" else -1
            frames = other.integers(90, 110, (25, 3, 36, 48))
            frames[:, :, slice(18, 36) if clip.label == "down" else slice(0, 18)] += 100
            rgb.write(clip.clip, frames.astype(np.uint8))
            fields = rng.integers(120, 137, (24, 2, 36, 48))
            fields[:, 1, 12:24, 18:30] += 80 * sign
            flow.write(clip.clip, fields.astype(np.uint8))
            values = rng.normal(size=(6, 5)).astype(np.float32)
            values[:, 2] += sign
            features.store(clip.clip, values)
            displacement.store(clip.clip, np.repeat(values, 2, axis=0).cumsum(0))
    stored = {name: ClipFields([file]) for name, file in files.items()}
    return stored | {"idt": stored_clips(folder / "idt.h5", CLIPS, CLASSES)}


def seen(row: Row, stored: dict[str, ClipFields]) -> dict[str, ClipFields]:
    """What a method is given: the stored fields, or the features, of each modality of its input."""
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


def weights(recogniser: Recogniser, path: Path) -> dict[str, bytes]:
    """The bytes of a method's weights, by name, as its file holds them."""
    recogniser.save(path, TrainedOn(NAMES, {name: {} for name in recogniser.run.name.modalities}))
    return {name: value.numpy().tobytes() for name, value in read_model(path).weights.items()}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_method_learns_and_repeats_and_is_read_as_it_was_written(
    row: Row, stored: dict[str, ClipFields], tmp_path: Path
) -> None:
    fields, views = seen(row, stored), Views(3, 2)
    recogniser = fitted(row, fields, Session(tmp_path / "log.csv"))
    scores = recogniser.scores(NAMES, fields, views, CPU)
    assert scores.dtype == np.float32
    assert scores.shape == (len(CLIPS), 3 if row.network else 1, len(CLASSES))
    assert [CLASSES[number] for number in scores.mean(1).argmax(1)] == [clip.label for clip in CLIPS]
    assert read_log(tmp_path / "log.csv")["accuracy"].iloc[-1] == 1
    bytes_of = weights(recogniser, tmp_path / "model.pt")
    assert len(bytes_of) > 1
    facts = recogniser.facts(TrainedOn(NAMES, {}))
    assert facts.pretraining == "none"
    assert facts.parameters > 0
    assert (facts.gmac > 0) == row.network
    again, read = methods.load(tmp_path / "model.pt")
    assert again.run == recogniser.run == found(row)[1]
    assert read.clips() == set(NAMES)
    assert np.array_equal(again.scores(NAMES, fields, views, CPU), scores)
    second = fitted(row, fields, Session(tmp_path / "second.csv"))
    assert weights(second, tmp_path / "second.pt") == bytes_of


@pytest.mark.parametrize("row", NETWORKS, ids=str)
def test_a_network_that_is_killed_resumes_to_the_same_bytes(
    row: Row, stored: dict[str, ClipFields], tmp_path: Path
) -> None:
    fields, (_, run) = seen(row, stored), found(row)
    definition = training_definition(run, CLIPS, fields, [], CPU.device)
    alone = fitted(row, fields, Session(tmp_path / "alone.csv"))
    for batches in (3, 6):
        session = Session(tmp_path / "log.csv", Checkpoints(tmp_path / "state", definition), StopAfter(batches))
        with pytest.raises(Stopped):
            fitted(row, fields, session)
    torch.manual_seed(99)  # nothing may depend on what the process did before
    resumed = fitted(row, fields, Session(tmp_path / "log.csv", Checkpoints(tmp_path / "state", definition)))
    assert weights(resumed, tmp_path / "resumed.pt") == weights(alone, tmp_path / "alone.pt")


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
