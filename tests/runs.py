"""Runs for tests, made as the command line makes them, and a stop after some batches."""

import signal
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from stp.config import method_file
from stp.data.run_name import RunName
from stp.methods import find, load
from stp.methods.network import NetworkRecogniser
from stp.models.pyramid import TemporalPyramidNetwork
from stp.models.segment_network import SegmentNetwork
from stp.system.signals import StopRequest
from stp.training.loop import Plan
from stp.training.run import Run
from stp.training.scoring import Scorer


def make_run(name: str, classes: Sequence[str], **options: Any) -> Run:
    """The run of a name, as `of/3-level/fold1/seed0`, with options that differ from the defaults."""
    parsed = RunName.parse(name)
    kind = method_file(parsed.method)
    return find(kind).run(parsed, kind, classes, options)


def module_of(run: Run) -> ModuleType:
    """The file of the run's method, a network."""
    return import_module(f"stp.methods.{run.kind}")


def plan_of(run: Run) -> Plan:
    """What the training loop gets for a run of a network."""
    method = module_of(run)
    return Plan(run, lambda: method.build(run), method.sampler(run))


def untrained(run: Run) -> NetworkRecogniser:
    """The network of a run with its initial weights, ready to score."""
    method = module_of(run)
    return NetworkRecogniser(run, Scorer(method.build(run).eval(), run.options, method.sampler(run)))


def with_random_classifiers(run: Run) -> NetworkRecogniser:
    """As `untrained`, with classifiers whose scores are far from equal: initial ones are nearly zero."""
    torch.manual_seed(0)
    recogniser = untrained(run)
    for layer in recogniser.scorer.network.modules():
        if isinstance(layer, torch.nn.Linear) and layer.out_features == len(run.classes):
            torch.nn.init.normal_(layer.weight)
    return recogniser


def pyramid_network(recogniser: NetworkRecogniser) -> TemporalPyramidNetwork:
    """The network of a recogniser that is a pyramid."""
    network = recogniser.scorer.network
    assert isinstance(network, TemporalPyramidNetwork)
    return network


def read_run(path: Path) -> NetworkRecogniser:
    """The trained network in a file."""
    recogniser, _ = load(path)
    assert isinstance(recogniser, NetworkRecogniser)
    return recogniser


def assert_pieces_give_what_the_whole_batch_gives(
    built: Callable[[], SegmentNetwork], videos: Tensor, tolerance: float
) -> None:
    """Features, gradients and statistics of 2 videos at once are those of all of them, but for rounding."""
    results = []
    for videos_at_once in (0, 2):
        network = built().train()
        features = network.features(videos, videos_at_once)
        (features * torch.arange(features.shape[-1])).sum().backward()
        gradients = {n: p.grad for n, p in network.backbone.named_parameters() if p.grad is not None}
        results.append({"features": features.detach()} | gradients | dict(network.backbone.named_buffers()))
    assert results[0].keys() == results[1].keys()
    for name, value in results[0].items():
        atol = 1e-4 * float(value.abs().max())
        assert torch.allclose(value, results[1][name], rtol=tolerance, atol=atol), name


class StopAfter(StopRequest):
    """As if a signal arrived during batch number `batches`."""

    def __init__(self, batches: int) -> None:
        self._left = batches

    @property
    def signal(self) -> signal.Signals | None:  # type: ignore[override]
        self._left -= 1
        return signal.SIGTERM if self._left <= 0 else None
