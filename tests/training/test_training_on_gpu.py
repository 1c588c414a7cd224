"""Training and scoring on a GPU: the CPU's results up to rounding, stops and limits."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stp.config import Compilation, Residence, Views
from stp.data.index import Clip
from stp.data.shards import ClipFields, write_shard
from stp.errors import UserError
from stp.models.batch_norm import FrozenBatchNorm, freeze_batch_norms
from stp.models.bninception import BNInception
from stp.models.segment_network import SegmentNetwork
from stp.system.devices import Compute, configure
from stp.system.signals import Stopped
from stp.training.checkpoints import Checkpoints
from stp.training.loop import Training, train
from stp.training.run import Run
from stp.training.scoring import Scorer, score
from stp.training.session import Session
from tests.runs import StopAfter, make_run, plan_of, untrained

pytestmark = pytest.mark.gpu

CPU, GPU = Compute(torch.device("cpu")), Compute(torch.device("cuda", 0))
STREAM = {"epochs": 2, "milestones": [], "learning_rate": 0.01, "dropout": 0.0, "scales": [1, 0.75]}
SMALL: dict[str, Any] = {
    "weights": "none",
    "width": 0.25,
    "input_size": 64,
    "batch_videos": 5,  # of 12 clips: the last batch is smaller
    "precision": "float32",
    "rgb": STREAM,
    "flow": STREAM,
}


def small_run(**changes: Any) -> Run:
    return make_run("of/3-level/fold1/seed0", ("down", "up"), **SMALL | changes)


@pytest.fixture(autouse=True)
def exact_float32(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """float32 as the CPU has it, so that differences are rounding."""
    monkeypatch.setattr("stp.training.loop.configure", lambda device, deterministic=False: None)
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[ClipFields, list[Clip]]:
    """Flow of 12 clips that move up or down."""
    path, rng, clips = tmp_path_factory.mktemp("fields") / "of.h5", np.random.default_rng(0), []
    with write_shard(path, "of", {"bound": 20}) as shard:
        for number in range(12):
            clips.append(Clip(f"clip{number:02}", "", ("down", "up")[number % 2]))
            fields = rng.integers(100, 156, (4 + number, 2, 72, 96)).astype(np.uint8)
            fields[:, 1] += np.uint8(40 * (number % 2))
            shard.write(clips[-1].clip, fields)
    return ClipFields([path]), clips


Data = tuple[ClipFields, list[Clip]]


def trained(data: Data, folder: Path, compute: Compute = GPU, run: Run | None = None, **session: Any) -> SegmentNetwork:
    return train(plan_of(run or small_run()), *data, compute, Session(folder / "log.csv", **session))


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu() for name, value in network.state_dict().items()}


def distance(one: nn.Module, other: nn.Module, start: nn.Module) -> float:
    """How far two trainings from one start are apart, as a share of the way that the second has gone.

    Lengths are over all weights. Single weights say little: those far from the loss have gradients so small that on a
    CPU, too, float32 and float64 differ there by a hundredth.
    """
    first, second, before = (
        torch.cat([value.detach().double().cpu().flatten() for value in network.parameters()])
        for network in (one, other, start)
    )
    return float((first - second).norm() / (second - before).norm())


def assert_same(one: nn.Module, other: nn.Module) -> None:
    for name, value in weights(one).items():
        assert torch.equal(weights(other)[name], value), name


def untrained_network(**changes: Any) -> SegmentNetwork:
    """The network that trainings begin with."""
    return Training(plan_of(small_run(**changes)), CPU).network


def one_step(compute: Compute, compilation: bool = False, **changes: Any) -> tuple[float, Training]:
    """The loss of a step of SGD on random images, and the training after it."""
    training = Training(plan_of(small_run(**changes)), compute)
    training.network.train()
    if compilation:
        training.network.backbone.compile(dynamic=False)
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, 4, 10, 64, 64)).astype(np.float32))
    loss, _ = training.step(images.to(compute.device), torch.arange(5).to(compute.device) % 2)
    return loss.item(), training


def test_a_float32_step_is_the_cpus() -> None:
    (loss, training), (expected, on_cpu) = one_step(GPU), one_step(CPU)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert distance(training.network, on_cpu.network, untrained_network()) < 1e-2  # float32 and float64: 2e-4


def test_a_bfloat16_step_is_the_cpus_but_for_its_rounding() -> None:
    (loss, training), (expected, on_cpu) = one_step(GPU, precision="bfloat16"), one_step(CPU)
    assert loss == pytest.approx(expected, rel=2e-2)
    assert distance(training.network, on_cpu.network, untrained_network()) < 0.05
    assert {value.dtype for value in training.network.parameters()} == {torch.float32}


CONVNET = {"backbone": "convnet", "partial_bn": False}  # is compiled in seconds, BN-Inception in a minute


@pytest.mark.parametrize(
    ("changes", "loss_tolerance", "tolerance"),
    [({"precision": "float32", **CONVNET}, 1e-5, 1e-2), ({"precision": "bfloat16"}, 1e-2, 0.05)],
    ids=["convnet", "bninception"],
)
def test_a_compiled_step_is_a_plain_one(changes: dict[str, Any], loss_tolerance: float, tolerance: float) -> None:
    torch.compiler.reset()
    (loss, training), (expected, plain) = one_step(GPU, True, **changes), one_step(GPU, **changes)
    assert loss == pytest.approx(expected, rel=loss_tolerance)
    assert distance(training.network, plain.network, untrained_network(**changes)) < tolerance


def test_folded_batch_norms_give_the_outputs_and_gradients_of_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randn(4, 10, 64, 64, dtype=torch.float64, device=GPU.device)

    def outcome() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        torch.manual_seed(0)
        network = BNInception(10, 0.25)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.1)
        freeze_batch_norms(network)
        features = network.double().to(GPU.device)(images)
        features.square().sum().backward()
        return features.detach(), {
            name: value.grad for name, value in network.named_parameters() if value.grad is not None
        }

    def unfolded(self: BNInception, name: str, x: torch.Tensor) -> torch.Tensor:
        for part in (name, f"{name}_bn", f"{name}_relu"):
            x = self.get_submodule(part)(x)
        return x

    folded = outcome()
    monkeypatch.setattr(BNInception, "_unit", unfolded)
    torch.testing.assert_close(folded, outcome(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("videos", [1, 2])
def test_micro_batches_give_the_weights_of_whole_ones(data: Data, tmp_path: Path, videos: int) -> None:
    whole = trained(data, tmp_path)
    pieces = trained(data, tmp_path, replace(GPU, micro_batch_videos=videos))
    assert distance(pieces, whole, untrained_network()) < 1e-2


def test_streamed_fields_train_as_resident_ones_do(data: Data, tmp_path: Path, deterministic: None) -> None:
    places: tuple[Residence, ...] = ("always", "never")
    resident, streamed = (trained(data, tmp_path, replace(GPU, resident=place)) for place in places)
    assert_same(resident, streamed)


@pytest.fixture
def deterministic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.backends.cudnn.benchmark
    configure(GPU.device, deterministic=True)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = before


@pytest.mark.parametrize("compilation", ["never", "always"])
def test_a_deterministic_training_repeats_to_the_byte(
    data: Data, tmp_path: Path, deterministic: None, compilation: Compilation
) -> None:
    torch.compiler.reset()
    compute = replace(GPU, compilation=compilation)
    run = small_run(precision="bfloat16", **({} if compilation == "never" else CONVNET))
    assert_same(trained(data, tmp_path, compute, run), trained(data, tmp_path, compute, run))


def test_a_training_that_is_stopped_after_every_batch_ends_as_one_left_alone(
    data: Data, tmp_path: Path, deterministic: None
) -> None:
    alone, network, stops = trained(data, tmp_path), None, 0
    while network is None:
        checkpoints = Checkpoints(tmp_path / "state", {"what": "this training"}, 5.0)
        try:
            network = trained(data, tmp_path, checkpoints=checkpoints, stop=StopAfter(1))
        except Stopped:
            stops += 1
    assert stops == 2 * 3 - 1
    assert_same(network, alone)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_scores_are_the_cpus_up_to_rounding(data: Data, precision: str) -> None:
    fields, clips = data
    run = small_run(precision=precision)
    recogniser = untrained(run)
    names, views = [clip.clip for clip in clips], Views(5, 10)
    nn.init.normal_(recogniser.scorer.network.get_submodule("classifier").weight)  # type: ignore[arg-type]
    expected = score(recogniser.scorer, "x", fields, names, views, CPU)
    kept = weights(recogniser.scorer.network)
    found = score(recogniser.scorer, "x", fields, names, views, GPU)
    spread = float(np.std(expected))
    assert float(np.abs(found - expected).max()) < (1e-3 if precision == "float32" else 5e-2) * spread
    again = weights(recogniser.scorer.network)
    assert kept.keys() == again.keys()  # what was folded was a copy
    assert all(torch.equal(kept[name], again[name]) for name in kept)


def test_a_full_gpu_is_one_line_that_names_the_keys(data: Data, tmp_path: Path) -> None:
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, (torch.cuda.memory_allocated() + 2**25) / total))
    try:
        with pytest.raises(
            UserError, match=r"out of GPU memory .*; lower compute\.memory_share, or set compute\.micro"
        ):
            trained(data, tmp_path, run=small_run(width=1.0, input_size=224))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


WAITS = """
import sys, time
from stp.system.devices import reserved_device
with reserved_device("auto", 1) as device:
    print("taken", flush=True)
    sys.stdin.readline()
"""


def test_two_processes_take_turns_on_one_card(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": "0"}

    def process() -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        return subprocess.Popen([sys.executable, "-c", WAITS], env=environment, text=True, **pipes)  # type: ignore[call-overload]

    first = process()
    assert first.stdout is not None
    assert first.stdout.readline() == "taken\n"
    second = process()
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(15)  # imports take a few seconds; then it waits for the lock
    first.send_signal(signal.SIGKILL)
    assert second.stdout is not None
    assert second.stdout.readline() == "taken\n"
    second.communicate("\n", timeout=60)
    assert second.returncode == 0
    first.wait()


def test_a_scorer_leaves_the_network_of_a_training_alone() -> None:
    recogniser = untrained(small_run())
    scorer = recogniser.scorer.on(GPU.device)
    assert isinstance(scorer, Scorer)
    assert scorer.network is not recogniser.scorer.network
    assert not any(isinstance(module, (nn.BatchNorm2d, FrozenBatchNorm)) for module in scorer.network.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in recogniser.scorer.network.modules())
