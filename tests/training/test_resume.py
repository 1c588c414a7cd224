"""Trainings that are stopped, killed, or find a state that is not theirs: they end as if left alone, or say why not."""

import csv
import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from stp import methods
from stp.cli.training import score
from stp.data.index import Clip, Index, read_index, write_index
from stp.data.shards import ClipFields, write_shard
from stp.data.splits import make_folds, read_fold, write_fold
from stp.errors import UserError
from stp.models.segment_network import SegmentNetwork
from stp.system.devices import Compute
from stp.system.signals import EXIT_STATUS, Stopped, StopRequest
from stp.training.checkpoints import Checkpoints, training_definition
from stp.training.log import Row
from stp.training.loop import Training, train
from stp.training.model_file import TrainedOn, read_model
from stp.training.run import Run
from stp.training.session import Session
from tests.runs import StopAfter, make_run, plan_of, untrained

CPU = Compute(torch.device("cpu"))
STREAM: dict[str, Any] = {"epochs": 4, "milestones": [2, 3], "learning_rate": 0.05, "dropout": 0.5, "scales": [1, 0.8]}
TINY: dict[str, Any] = {
    **{"backbone": "convnet", "weights": "none", "width": 0.25, "input_size": 16, "batch_videos": 3},
    **{"segments": 2, "segment_length": 8, "subsegment_length": 2, "partial_bn": False, "flow": STREAM},
}
BATCHES = 3  # of an epoch: 8 training clips


@dataclass(frozen=True)
class Data:
    """12 clips on disk: index, fold 1, and a shard of flow and one of frames."""

    index: Path
    fold: Path
    shard: Path
    rgb: Path

    def training_clips(self) -> list[Clip]:
        index = read_index(self.index)
        return [clip for clip, word in zip(index.clips, read_fold(self.fold, index), strict=True) if word == "train"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = tmp_path_factory.mktemp("data")
    found = Data(folder / "index.csv", folder / "fold1.csv", folder / "of.h5", folder / "rgb.h5")
    rng = np.random.default_rng(0)
    index = Index(tuple(Clip(f"{label}/{i}", "", label) for i in range(6) for label in ("down", "up")))
    with write_shard(found.shard, "of", {"bound": 20}) as shard:
        for clip in index.clips:
            fields = rng.integers(100, 156, (rng.integers(1, 20), 2, 20, 24)).astype(np.uint8)
            fields[:, 1] += np.uint8(40) if clip.label == "down" else np.uint8(0)
            shard.write(clip.clip, fields)
    with write_shard(found.rgb, "rgb", {}) as frames:
        for clip in index.clips:
            frames.write(clip.clip, rng.integers(0, 256, (rng.integers(1, 20), 3, 20, 24), dtype=np.uint8))
    write_index(found.index, index.clips)
    write_fold(found.fold, index, make_folds(index, "random", 3, 0)[0])
    return found


def tiny_run(seed: int = 0, **changes: Any) -> Run:
    return make_run(f"of/3-level/fold1/seed{seed}", ("down", "up"), **TINY | changes)


def definition(data: Data, run: Run) -> dict[str, Any]:
    """What defines the training of `run` on the data."""
    return training_definition(run, data.training_clips(), {"of": ClipFields([data.shard])}, [data.shard], CPU.device)


def kept(data: Data, folder: Path, run: Run | None = None, minutes: float = 5.0) -> Checkpoints:
    """Where the training of `run` on the data keeps its state."""
    return Checkpoints(folder, definition(data, run or tiny_run()), minutes)


def trained(data: Data, log: Path, run: Run | None = None, **options: Any) -> SegmentNetwork:
    fields, clips = ClipFields([data.shard]), data.training_clips()
    return train(plan_of(run or tiny_run()), fields, clips, CPU, Session(log, **options))


def stopped(data: Data, checkpoints: Checkpoints, batches: int) -> None:
    """Train until a stop after so many batches."""
    with pytest.raises(Stopped):
        trained(data, checkpoints.path.with_name("log.csv"), checkpoints=checkpoints, stop=StopAfter(batches))


def assert_same(network: SegmentNetwork, other: SegmentNetwork) -> None:
    for (name, value), (again, copy) in zip(network.state_dict().items(), other.state_dict().items(), strict=True):
        assert name == again
        assert torch.equal(value, copy), name


def untimed(path: Path) -> list[Row]:
    """A log without what depends on the clock."""
    return [row[:4] + row[6:-1] for row in csv.reader(path.open())]


def test_stopped_after_every_batch_ends_as_if_left_alone(data: Data, tmp_path: Path) -> None:
    alone = trained(data, tmp_path / "alone.csv")
    stops, network, messages = 0, None, []
    while network is None:
        torch.manual_seed(stops)  # nothing may depend on what the process did before
        checkpoints = kept(data, tmp_path / "state")
        try:
            network = trained(data, tmp_path / "log.csv", checkpoints=checkpoints, stop=StopAfter(1))
        except Stopped as stop:
            stops += 1
            epochs, batches = divmod(stops, BATCHES)
            words = (
                f"stopped by SIGTERM in epoch {epochs + 1} after {batches} batches; goes on there when it is run again"
            )
            messages.append((str(stop), f"of/3-level/fold1/seed0: {words}"))
            assert [row[0] for row in untimed(checkpoints.log_path)] == ["epoch", *map(str, range(1, epochs + 1))]
    assert stops == BATCHES * STREAM["epochs"] - 1
    assert all(message == expected for message, expected in messages)
    assert_same(network, alone)
    assert untimed(tmp_path / "log.csv") == untimed(tmp_path / "alone.csv") == untimed(checkpoints.log_path)


def test_state_is_kept_at_the_end_of_epochs_and_when_due(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stp.training.checkpoints.SAVING_SHARE", float("inf"))
    saved: list[tuple[int, int]] = []

    class Counting(Checkpoints):
        def save(self, state: dict[str, Any]) -> None:
            saved.append((state["epoch"], state["tally"]["batches"]))
            super().save(state)

    for minutes, expected in (
        (60.0, [(2, 0), (3, 0), (4, 0), (5, 0)]),
        (0.0, [(1 + batches // BATCHES, batches % BATCHES) for batches in range(1, 4 * BATCHES + 1)]),
    ):
        saved.clear()
        counting = Counting(tmp_path / str(minutes), definition(data, tiny_run()), minutes)
        trained(data, tmp_path / "log.csv", checkpoints=counting)
        assert saved == expected


def test_states_of_short_epochs_take_a_small_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0, 100, 101, 120, 122, 401])  # begun; saved in 1 s; asked after 19, 21 and 300 s
    monkeypatch.setattr("stp.training.checkpoints.time.monotonic", lambda: next(clock))
    checkpoints = Checkpoints(tmp_path, {}, minutes=5)
    checkpoints.save({})
    assert [checkpoints.due(epoch_ended) for epoch_ended in (True, True, False)] == [False, True, True]


def test_without_a_folder_nothing_is_kept_and_said_so(data: Data, tmp_path: Path) -> None:
    with pytest.raises(Stopped, match="nothing is kept without --state"):
        trained(data, tmp_path / "log.csv", stop=StopAfter(2))
    assert list(tmp_path.iterdir()) == []


def flip_a_bit(content: bytes) -> bytes:
    """In the middle of the largest tensor, where torch itself does not notice."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
        tensor = archive.read(largest)
    place = content.index(tensor) + len(tensor) // 2
    assert torch.load(io.BytesIO(content), weights_only=True).keys()
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("damage", [flip_a_bit, lambda content: content[:-100], lambda _: b"nothing", lambda _: b""])
def test_damaged_state_is_set_aside(data: Data, tmp_path: Path, damage: Any, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = kept(data, tmp_path)
    stopped(data, checkpoints, 5)
    content = damage(checkpoints.path.read_bytes())
    checkpoints.path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert_same(trained(data, tmp_path / "log.csv", checkpoints=checkpoints), trained(data, tmp_path / "log.csv"))
    assert "not a whole state of this training" in caplog.text
    assert checkpoints.path.with_name(f"{checkpoints.key}.pt.corrupt").read_bytes() == content


class Mischief:
    """Unpickling it without restrictions would run a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.folder,)

    def __init__(self, folder: str) -> None:
        self.folder = folder


def test_state_never_runs_code(data: Data, tmp_path: Path) -> None:
    checkpoints = kept(data, tmp_path / "state")
    checkpoints.save({"weights": Mischief(str(tmp_path / "mischief"))})
    assert checkpoints.load() is None
    assert not (tmp_path / "mischief").exists()
    assert not checkpoints.path.exists()


def test_state_that_does_not_fit_is_set_aside(data: Data, tmp_path: Path) -> None:
    """As of another version of this package."""
    checkpoints = kept(data, tmp_path)
    stopped(data, checkpoints, 5)
    state = checkpoints.load()
    assert state is not None
    del state["optimiser"]  # found out after the weights were loaded
    checkpoints.save(state)
    assert_same(trained(data, tmp_path / "log.csv", checkpoints=checkpoints), trained(data, tmp_path / "log.csv"))
    assert checkpoints.path.with_name(f"{checkpoints.key}.pt.corrupt").exists()


def test_renamed_state_of_another_training_is_set_aside(data: Data, tmp_path: Path) -> None:
    own, other = kept(data, tmp_path), kept(data, tmp_path, tiny_run(1))
    stopped(data, own, 5)
    own.path.rename(other.path)
    assert other.load() is None
    assert other.path.with_name(f"{other.key}.pt.corrupt").exists()


def test_state_of_another_definition_is_left_alone(data: Data, tmp_path: Path) -> None:
    foreign = kept(data, tmp_path, tiny_run(1))
    foreign.save(Training(plan_of(tiny_run(1)), CPU).state())
    content = foreign.path.read_bytes()
    own = kept(data, tmp_path)
    assert_same(trained(data, tmp_path / "log.csv", checkpoints=own), trained(data, tmp_path / "log.csv"))
    own.remove()
    assert [path.name for path in tmp_path.glob("*.*") if path.name != "log.csv"] == [foreign.path.name]
    assert foreign.path.read_bytes() == content


def test_key_depends_on_all_that_defines_a_training(data: Data, tmp_path: Path) -> None:
    run, fields, clips, shards = tiny_run(), ClipFields([data.shard]), data.training_clips(), [data.shard]
    device = CPU.device

    def key(run: Run, clips: list[Clip], fields: ClipFields, shards: list[Path], device: torch.device) -> str:
        return Checkpoints(tmp_path, training_definition(run, clips, {"of": fields}, shards, device)).key

    same = key(run, clips, fields, shards, device)
    assert same == key(tiny_run(), list(clips), ClipFields(shards), shards, device)
    rewritten = tmp_path / "of.h5"
    rewritten.write_bytes(data.shard.read_bytes())
    weights = tmp_path / "own.pth"
    weights.write_bytes(b"1")
    own = replace(run, options=replace(run.options, weights=str(weights)))
    other = ClipFields(shards)
    other.parameters = {"bound": 10}
    relabelled = [replace(clips[0], label="up" if clips[0].label == "down" else "down"), *clips[1:]]
    keys = [
        same,
        key(tiny_run(momentum=0.8), clips, fields, shards, device),
        key(replace(run, name=replace(run.name, fold=2)), clips, fields, shards, device),
        key(replace(run, classes=("up", "down")), clips, fields, shards, device),
        key(replace(run, name=replace(run.name, seed=1)), clips, fields, shards, device),
        key(run, clips[::-1], fields, shards, device),
        key(run, relabelled, fields, shards, device),
        key(run, clips, other, shards, device),
        key(run, clips, fields, [rewritten], device),
        key(run, clips, fields, shards, torch.device("cuda")),
        key(own, clips, fields, shards, device),
    ]
    weights.write_bytes(b"12")
    keys.append(key(own, clips, fields, shards, device))
    assert len(set(keys)) == len(keys)


def test_diverging_training_keeps_its_last_good_state(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = kept(data, tmp_path, minutes=0)
    stopped(data, checkpoints, 4)
    good = checkpoints.path.read_bytes()
    step = Training.step
    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", lambda *arguments: (torch.tensor(torch.nan), step(*arguments)[1]))
        with pytest.raises(UserError, match=r"^of/3-level/fold1/seed0: the loss is nan in epoch 2; lower the stream's"):
            trained(data, tmp_path / "log.csv", checkpoints=checkpoints)
    assert checkpoints.path.read_bytes() == good

    def poison(training: Training, *batch: Any) -> Any:
        result = step(training, *batch)
        next(training.network.parameters()).data.fill_(float("inf"))
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", poison)
        with pytest.raises(
            UserError, match=r"^of/3-level/fold1/seed0: weights are not finite in epoch 2; lower the stream's"
        ):
            trained(data, tmp_path / "log.csv", checkpoints=checkpoints)
    assert checkpoints.path.read_bytes() == good
    assert_same(trained(data, tmp_path / "log.csv", checkpoints=checkpoints), trained(data, tmp_path / "log.csv"))


def test_full_gpu_names_the_keys_to_lower(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has\na lot more to say.")

    monkeypatch.setattr(Training, "step", full)
    with pytest.raises(UserError) as error:
        trained(data, tmp_path / "log.csv")
    assert str(error.value) == (
        "of/3-level/fold1/seed0: out of GPU memory (CUDA out of memory); "
        "lower compute.memory_share, or set compute.micro_batch_videos below training.batch_videos"
    )
    checkpoints = kept(data, tmp_path)
    checkpoints.save(Training(plan_of(tiny_run()), CPU).state())
    monkeypatch.setattr(Training, "restore", full)
    with pytest.raises(UserError, match=r"out of GPU memory"):
        trained(data, tmp_path / "log.csv", checkpoints=checkpoints)
    assert checkpoints.path.exists()  # it is a good state


def test_clips_shorter_than_a_segment_train(data: Data, tmp_path: Path) -> None:
    path = tmp_path / "short.h5"
    clips = [Clip("a", "", "down"), Clip("b", "", "up")]
    with write_shard(path, "of", {"bound": 20}) as shard:
        shard.write("a", np.full((1, 2, 20, 24), 100, np.uint8))
        shard.write("b", np.full((7, 2, 20, 24), 150, np.uint8))
    network = train(plan_of(tiny_run()), ClipFields([path]), clips, CPU, Session(tmp_path / "log.csv"))
    assert all(value.isfinite().all() for value in network.parameters())


def test_signals_ask_to_stop_and_a_second_ctrl_c_interrupts() -> None:
    before = [signal.getsignal(number) for number in StopRequest.SIGNALS]
    for number in StopRequest.SIGNALS:
        with StopRequest() as stop:
            assert stop.signal is None
            os.kill(os.getpid(), number)
            assert stop.signal == number
            if number == signal.SIGINT:
                with pytest.raises(KeyboardInterrupt):
                    os.kill(os.getpid(), number)
            else:
                os.kill(os.getpid(), number)
    assert [signal.getsignal(number) for number in StopRequest.SIGNALS] == before


def curve(folder: Path, name: str) -> list[tuple[int, float]]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_curves_of_a_resumed_training_are_those_of_one_left_alone(data: Data, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    trained(data, tmp_path / "log.csv", tensorboard=tmp_path / "alone")
    checkpoints = kept(data, tmp_path / "state")
    curves: dict[str, Any] = {"checkpoints": checkpoints, "tensorboard": tmp_path / "curves"}
    states = []
    for _ in range(2):
        with pytest.raises(Stopped):
            trained(data, tmp_path / "log.csv", **curves, stop=StopAfter(BATCHES + 1))
        states.append(checkpoints.path.read_bytes())
    checkpoints.path.write_bytes(states[0])  # as if killed after epoch 2, before its state was kept
    trained(data, tmp_path / "log.csv", **curves)
    for name in ("loss", "accuracy", "class_accuracy", "learning_rate"):
        expected = curve(tmp_path / "alone", name)
        assert [step for step, _ in expected] == [1, 2, 3, 4]
        assert curve(tmp_path / "curves", name) == expected


def test_missing_tensorboard_is_one_line(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(
        UserError, match=r"training.tensorboard: true, but TensorBoard is not installed; pip install ten"
    ):
        trained(data, tmp_path / "log.csv", tensorboard=tmp_path / "curves")


# A real process.


def stp(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "stp", *map(str, arguments)]


def command(data: Data, output: Path, state: Path, settings: dict[str, Any], method: str = "of/3-level") -> list[str]:
    """The command that trains a method on an input."""
    run_input, variant = method.split("/")
    shards = {"of": data.shard, "rgb": data.rgb}
    clips = [shards[name] for name in run_input.split("+")]
    options = ["--variant", variant, "--settings", json.dumps(settings), "--state", state, "--checkpoint-minutes", 0]
    files = ["-o", output / "model.pt", "--log-csv", output / "log.csv", "--device", "cpu"]
    return stp("train", data.index, data.fold, *clips, "--input", run_input, *options, *files)


def of_epochs(epochs: int) -> dict[str, Any]:
    """The settings of a training of so many epochs."""
    stream = STREAM | {"epochs": epochs, "milestones": [epochs // 2], "learning_rate": 0.01}
    return TINY | {"flow": stream, "rgb": stream}


def begun(state: Path) -> int:
    """When the last training of this state began; 0 for none."""
    return max((path.stat().st_mtime_ns for path in state.glob("*.json")), default=0)


def epochs_done(state: Path) -> int:
    return sum(path.read_bytes().count(b"\n") - 1 for path in state.glob("*.csv"))


def killed_after(epochs: int, number: signal.Signals, state: Path, training: list[str]) -> tuple[int, str]:
    """Signal a training once it has gone on for so many epochs; its exit status and what it said."""
    before = begun(state)
    with subprocess.Popen(training, stderr=subprocess.PIPE, text=True) as process:
        while begun(state) == before and process.poll() is None:
            time.sleep(0.01)
        last = epochs_done(state) + epochs
        while epochs_done(state) < last and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
        words = process.communicate(timeout=60)[1]
    return process.returncode, words


def test_process_killed_at_ten_random_moments_scores_as_one_left_alone(data: Data, tmp_path: Path) -> None:
    rng = np.random.default_rng()  # other moments every time: none may matter
    settings, state = of_epochs(150), tmp_path / "state"
    left_alone = subprocess.Popen(command(data, tmp_path / "alone", tmp_path / "other", settings))
    kills = [signal.SIGKILL] * 5 + [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]
    training = command(data, tmp_path / "killed", state, settings)
    for number in rng.permutation(np.array(kills)).tolist():
        status, words = killed_after(int(rng.integers(10)), signal.Signals(number), state, training)
        assert status == (-signal.SIGKILL if number == signal.SIGKILL else EXIT_STATUS), words
        assert words.count("stopped by SIG") == (number != signal.SIGKILL)
        assert "Traceback" not in words
        assert not (tmp_path / "killed").exists()
    last = subprocess.run(training, capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr
    assert "goes on in epoch" in last.stderr
    assert not state.exists()
    assert left_alone.wait(60) == 0
    assert untimed(tmp_path / "killed/log.csv") == untimed(tmp_path / "alone/log.csv")
    for folder in (tmp_path / "killed", tmp_path / "alone"):
        files = (folder / "model.pt", data.index, data.fold, [data.shard], folder / "scores.h5")
        score(*files, segments=3, crops=2, device="cpu")
    with h5py.File(tmp_path / "killed/scores.h5") as killed, h5py.File(tmp_path / "alone/scores.h5") as alone:
        assert set(killed) == set(alone) == {"scores", "labels", "clips"}
        assert killed["clips"][:].tolist() == alone["clips"][:].tolist()
        for name in ("scores", "labels"):
            assert killed[name][:].tobytes() == alone[name][:].tobytes()


PYRAMID_KEYS = ("segments", "segment_length", "subsegment_length")


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("rgb+of/two_stream_fusion", {"frames": 2, "flow_fields": 2, "least_distance": 1}),
        ("of/c3d", {"backbone": "c3d", "width": 0.05, "frames": 4}),  # with dropout inside
    ],
)
def test_a_killed_process_of_a_joint_or_3d_network_ends_as_one_left_alone(
    data: Data, tmp_path: Path, method: str, options: dict[str, Any]
) -> None:
    settings = {key: value for key, value in of_epochs(60).items() if key not in PYRAMID_KEYS} | options
    state, output = tmp_path / "state", tmp_path / "killed"
    training = command(data, output, state, settings, method)
    for number in (signal.SIGTERM, signal.SIGKILL):
        status, words = killed_after(2, number, state, training)
        assert status == (-signal.SIGKILL if number == signal.SIGKILL else EXIT_STATUS), words
        assert not output.exists()
    last = subprocess.run(training, capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr
    assert "goes on in epoch" in last.stderr
    run = make_run(f"{method}/fold1/seed0", ("down", "up"), **settings)
    fields = {name: ClipFields([{"of": data.shard, "rgb": data.rgb}[name]]) for name in run.name.modalities}
    task = methods.Task(run, data.training_clips(), fields, CPU, Session(tmp_path / "log.csv"))
    methods.find(run.kind).fit(task).save(tmp_path / "model.pt", TrainedOn([]))
    weights, alone = (read_model(path).weights for path in (output / "model.pt", tmp_path / "model.pt"))
    assert {name: value.numpy().tobytes() for name, value in weights.items()} == {
        name: value.numpy().tobytes() for name, value in alone.items()
    }
    assert untimed(output / "log.csv") == untimed(tmp_path / "log.csv")


def test_clips_that_were_trained_on_are_not_scored(data: Data, tmp_path: Path) -> None:
    index = read_index(data.index)
    ids = [clip.clip for clip in data.training_clips()]
    untrained(tiny_run()).save(tmp_path / "model.pt", TrainedOn(ids))
    write_fold(tmp_path / "fold2.csv", index, make_folds(index, "random", 3, 0)[1])
    with pytest.raises(UserError, match=r"trained on 4 of the clips to score, such as '.*'; give its own fold"):
        score(tmp_path / "model.pt", data.index, tmp_path / "fold2.csv", [data.shard], tmp_path / "s.h5")
    assert not (tmp_path / "s.h5").exists()
