"""The family of networks: they share the training loop, exact resume, logs, and scoring over segments and crops.

A method of this family consists of two functions: one builds the network of a run, the other returns the sampler that
draws its samples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from stp.config import PUBLISHED, Views
from stp.data.joint import input_fields
from stp.data.shards import ClipFields
from stp.errors import keys_named
from stp.evaluation.run_facts import RunFacts
from stp.methods import Method, Task
from stp.models.dry_pass import dry_pass
from stp.models.segment_network import SegmentNetwork
from stp.sampling.samples import Sampler
from stp.system.devices import Compute
from stp.training.loop import Plan, train
from stp.training.model_file import ModelFile, TrainedOn, write_model
from stp.training.run import NetworkOptions, Run, image_channels, single_modality
from stp.training.scoring import Scorer, score


class Build(Protocol):
    """Builds the network of a run; `weights` replaces the initial weights of its options."""

    def __call__(self, run: Run, weights: str | None = None) -> SegmentNetwork: ...


@dataclass(frozen=True)
class NetworkRecogniser:
    """A trained network with its run."""

    run: Run
    scorer: Scorer

    def scores(
        self, clips: Sequence[str], fields: Mapping[str, ClipFields], views: Views, compute: Compute
    ) -> np.ndarray:
        """See `stp.methods.Recogniser`."""
        return score(self.scorer, str(self.run.name), input_fields(fields, self.run.name.input), clips, views, compute)

    def facts(self, trained_on: TrainedOn) -> RunFacts:
        """See `stp.methods.Recogniser`."""
        from torch.utils.flop_counter import FlopCounterMode  # here, because it imports Triton

        network, sampler, options = self.scorer.network, self.scorer.sampler, self.run.options
        channels, size = image_channels(self.run.name, sampler.columns), options.input_size
        with FlopCounterMode(display=False) as counter:
            # On devices, some operations are whole layers, such as LSTMs, which the counter does not know.
            dry_pass(network, (1, 1, sampler.subsegments, channels, size, size))
        parameters = sum(parameter.numel() for parameter in network.parameters())
        return RunFacts(options.weights, parameters, counter.get_total_flops() / 2e9)

    def save(self, path: Path, trained_on: TrainedOn) -> None:
        """See `stp.methods.Recogniser`."""
        write_model(path, self.run, self.scorer.network.state_dict(), trained_on)


def network_method(
    options: type[NetworkOptions],
    build: Build,
    sampler: Callable[[Run], Sampler],
    modalities: Callable[[Run], object] = single_modality,
) -> Method:
    """A method with the network that `build(run, weights)` makes and the sampler that `sampler(run)` returns.

    `modalities(run)` raises a UserError for an input that the method cannot see: anything but a single modality, unless
    it is `joint_modalities`. `build` may draw random initial weights: torch is seeded from the run beforehand.
    """

    def fit(task: Task) -> NetworkRecogniser:
        check(task.run)
        plan = Plan(task.run, lambda: prepare(task.run), sampler(task.run))
        network = train(plan, input_fields(task.fields, task.run.name.input), task.clips, task.compute, task.session)
        return NetworkRecogniser(task.run, Scorer(network, plan.options, plan.sampler))

    def load(file: ModelFile) -> NetworkRecogniser:
        run = METHOD.run(file.name, file.kind, file.classes, file.settings)
        network = build(run, weights="none")
        try:
            network.load_state_dict(file.weights)
        except (RuntimeError, TypeError, AttributeError):
            raise file.unusable(f"its weights are not those of {run.name}") from None
        return NetworkRecogniser(run, Scorer(network.eval(), run.options, sampler(run)))

    def check(run: Run) -> None:
        modalities(run)
        sampler(run)

    def prepare(run: Run) -> SegmentNetwork:
        with keys_named(f"methods.{run.name.method}", PUBLISHED.get(run.kind, ())):
            return build(run)

    METHOD = Method(options, fit, load, check, prepare)
    return METHOD
