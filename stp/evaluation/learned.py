"""Learned fusion: weights of streams that are fitted on scores of clips that the fold does not test."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from stp.config import FusionSpace
from stp.errors import UserError
from stp.evaluation.scores import Scores

DIGITS = 6  # to which weights are rounded, so that the last bits of a processor's arithmetic do not matter


def fit_weights(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Weights of streams, none below 0, that sum to 1: float64 (streams,); all 0 if no stream helps.

    They minimise the cross entropy of softmax(sum of weight x values), a convex function. Each stream is scaled to unit
    deviation between classes before, and half the squared weights are added to the sum over clips (as C = 1 of logistic
    regression), which keeps weights finite where a stream makes no mistake. How sharp the softmax is, the weights say
    themselves: their sum does not change which class is the likeliest, so it is then divided out.

    Args:
        values: float (streams, clips, classes), what is averaged: scores or probabilities.
        labels: int (clips,).
    """
    centred = values.astype(np.float64) - values.mean(2, keepdims=True, dtype=np.float64)
    scales = np.sqrt((centred**2).mean((1, 2)))
    scales[scales == 0] = 1  # a stream that says the same of all classes
    scaled = centred / scales[:, None, None]
    right = scaled[:, np.arange(len(labels)), labels]  # (streams, clips)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        fused = np.tensordot(weights, scaled, 1)
        value = (logsumexp(fused, axis=1) - weights @ right).sum() + weights @ weights / 2
        expected = (scaled * softmax(fused, axis=1)).sum(2)
        return float(value), (expected - right).sum(1) + weights

    start = np.full(len(values), 1 / len(values))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(values)).x / scales
    total = found.sum()
    return np.round(found / total, DIGITS) if total > 0 else np.zeros(len(values))


def learned_weights(own: Sequence[Scores], others: Sequence[Sequence[Scores]], space: FusionSpace) -> np.ndarray:
    """Weights (`fit_weights`) of a fold's streams, from the test scores of the same streams in all other folds.

    Clips that the fold itself tests are left out, also where another fold tests them, too. So no label of the fold has
    a part in its weights, except that the networks of the other folds have trained on its clips.

    Raises:
        UserError: no clip is left to fit weights on.
    """
    tested = set(own[0].clips)
    values, labels = [], []
    for streams in others:
        chosen = np.array([clip not in tested for clip in streams[0].clips])
        values.append(np.stack([stream.fused_values(space)[chosen] for stream in streams]))
        labels.append(streams[0].labels[chosen])
    if not sum(map(len, labels)):
        raise UserError(
            f"fusion.learned: the weights of fold {own[0].run.fold} are fitted on clips that other folds test, and "
            "there are none; use more folds, or fusion.learned: false"
        )
    return fit_weights(np.concatenate(values, axis=1), np.concatenate(labels))
