"""Facts that a table gives about a method beside its accuracy: pre-training, size, operations, minutes of training."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stp.data.run_name import RunName
from stp.evaluation.fused import group_by_fold, input_name, inputs_of
from stp.evaluation.run_facts import RunFacts
from stp.evaluation.scores import Scores

PRETRAINING = {
    "none": "None",
    "imagenet": "ImageNet",
    "kinetics": "Kinetics",
    "sports1m": "Sports-1M",
    "ig65m+kinetics": "IG-65M + Kinetics",
}


@dataclass(frozen=True)
class MethodFacts:
    """Facts about a method on an input, sums over its streams where several are fused.

    pretraining        what the weights started from, such as ImageNet; empty if it is not known
    parameters, gmac   as in `RunFacts`; NaN if they are not known
    minutes            mean minutes that the training of one fold took; NaN if they are not known
    """

    pretraining: str
    parameters: float
    gmac: float
    minutes: float


def pretraining_name(weights: str) -> str:
    """Initial weights as tables name them: data sets, None, or the name of a file."""
    names = [PRETRAINING.get(word, word.rpartition("/")[2]) for word in weights.split(", ")]
    return ", ".join(names)


def method_facts(
    scores: Sequence[Scores], facts: Mapping[RunName, RunFacts], minutes: Mapping[RunName, float]
) -> dict[tuple[str, str], MethodFacts]:
    """Facts by input (as `stp.evaluation.fused.Predictions` name it) and method, all inputs of a method together.

    `facts` are those of one run or more of each method and input, `minutes` those that the trainings of the runs took,
    as far as they are known.

    Raises:
        UserError: as for `stp.evaluation.fused.group_by_fold`.
    """
    groups = group_by_fold(scores)
    found: dict[tuple[str, str], MethodFacts] = {}
    for method in dict.fromkeys(method for method, _, _ in groups):
        for streams in inputs_of(list(groups.values())):
            own = [runs for (name, _, _), runs in groups.items() if name == method and set(streams) <= set(runs)]
            if own:
                parts = [_stream_facts([runs[stream].run for runs in own], facts, minutes) for stream in streams]
                found[input_name("+".join(streams)), method] = sum_of_facts(parts)
    return found


def _stream_facts(
    runs: Sequence[RunName], facts: Mapping[RunName, RunFacts], minutes: Mapping[RunName, float]
) -> MethodFacts:
    taken = sum(minutes.get(run, math.nan) for run in runs) / len(runs)
    known = next((facts[run] for run in runs if run in facts), None)
    if known is None:
        return MethodFacts("", math.nan, math.nan, taken)
    return MethodFacts(pretraining_name(known.pretraining), known.parameters, known.gmac, taken)


def sum_of_facts(parts: Sequence[MethodFacts]) -> MethodFacts:
    """Facts about streams or methods that are fused."""
    return MethodFacts(
        ", ".join(dict.fromkeys(part.pretraining for part in parts if part.pretraining)),
        sum(part.parameters for part in parts),
        sum(part.gmac for part in parts),
        sum(part.minutes for part in parts),
    )
