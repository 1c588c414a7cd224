"""Late fusion of methods with each other, as publications report it for `+ iDT`: a network and improved trajectories.

A network's scores and a support vector machine's decision values differ in scale, and often in what 0 means. So each
method's scores of a clip are centred over the classes and divided by their length before they are averaged. The scaling
is our choice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from stp.errors import UserError
from stp.evaluation.facts import MethodFacts, sum_of_facts
from stp.evaluation.fused import Predictions

Combined = Mapping[str, Mapping[str, float]]  # the weights of the methods, by the name of the fusion


def widest_inputs(predictions: Sequence[Predictions]) -> dict[str, str]:
    """The input with the most streams of each method, of several the last."""
    found: dict[str, str] = {}
    for item in predictions:
        if item.input.count("+") >= found.get(item.method, "").count("+"):
            found[item.method] = item.input
    return found


def joined_input(inputs: Sequence[str]) -> str:
    """The name of several inputs together: RGB+OF and OF+IDT give RGB+OF+IDT."""
    return "+".join(dict.fromkeys(stream for name in inputs for stream in name.split("+")))


def scaled(scores: np.ndarray) -> np.ndarray:
    """Scores (clips, classes), centred over the classes and of length 1 for each clip; equal scores become zeros."""
    centred = scores - scores.mean(1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)


def combine(predictions: Sequence[Predictions], combined: Combined) -> list[Predictions]:
    """The predictions of each fusion, in every fold and from every seed that its methods have.

    Each method takes part by its input with the most streams; a fusion's input names all of them, such as
    RGB+OF+WOF+IDT.

    Raises:
        UserError: there are no predictions of a method, or its folds or seeds are others.
    """
    found, inputs = [], widest_inputs(predictions)
    for name, weights in combined.items():
        parts = {
            method: {
                (item.fold, item.seed): item
                for item in predictions
                if (item.method, item.input) == (method, inputs.get(method))
            }
            for method in weights
        }
        first = next(iter(parts.values()))
        for method, own in parts.items():
            if not own or own.keys() != first.keys():
                raise UserError(
                    f"fusion.combined.{name}: '{method}' has no scores, or those of other folds and seeds; train it, "
                    "or take it out"
                )
        for run in first:
            members = [own[run] for own in parts.values()]
            shares = [float(weights[item.method]) for item in members]
            values = np.average([scaled(item.scores) for item in members], axis=0, weights=shares)
            joined = joined_input([item.input for item in members])
            found.append(replace(members[0], input=joined, method=name, scores=values))
    return found


def combined_facts(
    predictions: Sequence[Predictions], combined: Combined, facts: Mapping[tuple[str, str], MethodFacts]
) -> dict[tuple[str, str], MethodFacts]:
    """Facts about each fusion, sums over its methods; arguments as for `combine` and `stp.evaluation.facts`."""
    inputs = widest_inputs(predictions)
    return {
        (joined_input([inputs[method] for method in weights]), name): sum_of_facts(
            [facts[inputs[method], method] for method in weights]
        )
        for name, weights in combined.items()
    }
