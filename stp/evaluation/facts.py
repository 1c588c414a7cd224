"""What a table says about a method beside its accuracy: pre-training, size, operations, minutes of training."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stp.data.run_name import RunName
from stp.evaluation.fused import group_by_fold, input_name, inputs_of
from stp.evaluation.scores import Scores

PRETRAINING = {"none": "None", "imagenet": "ImageNet", "kinetics": "Kinetics", "sports1m": "Sports-1M"}


@dataclass(frozen=True)
class MethodFacts:
    """Facts about the runs of a method on an input, the sum of its streams where several are fused.

    pretraining   what the weights started from, such as ImageNet; empty if the scores do not say it
    parameters    number of learnt values; NaN if the scores do not say it
    gmac          billions of multiplications with additions for one segment in one crop; likewise
    minutes       mean minutes that the training of one fold took; NaN if unknown
    """

    pretraining: str
    parameters: float
    gmac: float
    minutes: float


def pretraining_name(weights: str) -> str:
    """Initial weights as tables name them: a data set, None, or the name of a file."""
    return PRETRAINING.get(weights, weights.rpartition("/")[2])


def method_facts(scores: Sequence[Scores], minutes: Mapping[RunName, float]) -> dict[tuple[str, str], MethodFacts]:
    """Facts by input (as `stp.evaluation.fused.Predictions` name it) and method.

    `minutes` are those that the trainings of the runs took, as far as they are known.

    Raises:
        UserError: as for `stp.evaluation.fused.group_by_fold`.
    """
    groups = group_by_fold(scores)
    found: dict[tuple[str, str], MethodFacts] = {}
    for streams in inputs_of(list(groups.values())):
        for method in dict.fromkeys(method for method, _, _ in groups):
            own = [runs for (name, _, _), runs in groups.items() if name == method and set(streams) <= set(runs)]
            if own:
                parts = [_stream_facts([runs[stream] for runs in own], minutes) for stream in streams]
                found[input_name("+".join(streams)), method] = _sum(parts)
    return found


def _stream_facts(runs: Sequence[Scores], minutes: Mapping[RunName, float]) -> MethodFacts:
    facts = runs[0].facts
    taken = [minutes.get(run.run, math.nan) for run in runs]
    return MethodFacts(
        pretraining_name(str(facts.get("pretraining", ""))),
        float(facts.get("parameters", math.nan)),
        float(facts.get("gmac", math.nan)),
        sum(taken) / len(taken),
    )


def _sum(parts: Sequence[MethodFacts]) -> MethodFacts:
    return MethodFacts(
        ", ".join(dict.fromkeys(part.pretraining for part in parts if part.pretraining)),
        sum(part.parameters for part in parts),
        sum(part.gmac for part in parts),
        sum(part.minutes for part in parts),
    )
