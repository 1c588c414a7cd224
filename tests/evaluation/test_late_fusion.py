"""Methods are fused with each other by each clip's scores, centred and scaled to one length."""

import numpy as np
import pytest

from stp.errors import UserError
from stp.evaluation.facts import MethodFacts
from stp.evaluation.fused import Predictions
from stp.evaluation.late_fusion import combine, combined_facts, scaled


def predictions(run_input: str, method: str, scores: list[list[float]], fold: int = 1) -> Predictions:
    clips = tuple(f"{fold}{place}" for place in range(len(scores)))
    labels = np.zeros(len(scores), np.int64)
    return Predictions(run_input, method, fold, 0, ("a", "b", "c"), (), clips, labels, np.array(scores, np.float64))


NETWORK = predictions("RGB+OF", "3-level", [[30, 0, 0], [20, 20, 20]])
STREAM = predictions("OF", "3-level", [[0, 0, 9], [0, 0, 9]])
TRACKS = predictions("IDT", "idt", [[-1.0, -0.9, -1.1], [-1.0, 0.5, -1.0]])


def test_scores_are_centred_and_of_length_one_whatever_their_scale() -> None:
    expected = np.array([2, -1, -1]) / np.sqrt(6)
    for scores in ([3.0, 0, 0], [300, 0, 0], [0.5, -1, -1]):
        np.testing.assert_allclose(scaled(np.array([scores])), [expected])
    assert (scaled(np.full((1, 3), 7.0)) == 0).all()


def test_a_fusion_averages_the_widest_inputs_of_its_methods() -> None:
    (fused,) = combine([STREAM, NETWORK, TRACKS], {"both": {"3-level": 3, "idt": 1}})
    assert (fused.input, fused.method) == ("RGB+OF+IDT", "both")
    network, tracks = np.array([2, -1, -1]) / np.sqrt(6), np.array([0, 1, -1]) / np.sqrt(2)
    np.testing.assert_allclose(fused.scores[0], (3 * network + tracks) / 4)
    assert fused.classes_predicted().tolist() == [0, 1]  # the network cannot tell the second clip's class


def test_facts_about_a_fusion_are_sums_over_its_methods() -> None:
    facts = {
        ("OF", "3-level"): MethodFacts("None", 1, 1, 1),
        ("RGB+OF", "3-level"): MethodFacts("ImageNet", 10, 2, 3),
        ("IDT", "idt"): MethodFacts("None", 5, 0, 1),
    }
    found = combined_facts([STREAM, NETWORK, TRACKS], {"both": {"3-level": 1, "idt": 1}}, facts)
    assert found == {("RGB+OF+IDT", "both"): MethodFacts("ImageNet, None", 15, 2, 4)}


@pytest.mark.parametrize("others", [[], [predictions("IDT", "idt", [[1, 0, 0]], fold=2)]])
def test_methods_without_scores_or_of_other_folds_are_named(others: list[Predictions]) -> None:
    with pytest.raises(UserError, match=r"fusion\.combined\.both: 'idt' has no scores, or those of other folds"):
        combine([NETWORK, *others], {"both": {"3-level": 1, "idt": 1}})
