"""Which classes a run has learned, by its test clips.

Mean accuracy does not show that: a run that tells two of seven classes apart, and guesses among the others, beats
chance by far.
"""

import numpy as np
from scipy.stats import hypergeom

from stp.evaluation.significance import LARGEST_P

BLIND = "blind to some classes"
FEWEST = 5  # test clips that a class has, and others have, for a test that tells a class learned from one guessed


def unlearned_classes(labels: np.ndarray, predicted: np.ndarray, number: int) -> np.ndarray:
    """Numbers of the classes, int (n,), whose own test clips are given their name no more often than other clips are.

    The test is Fisher's exact one, one-sided. Classes with fewer than FEWEST clips, or beside which there are fewer
    others, are not judged: too few clips prove nothing.

    Args:
        labels: true classes, int (clips,).
        predicted: predicted ones, int (clips,).
        number: of classes.
    """
    clips = len(labels)
    own, given = np.bincount(labels, minlength=number), np.bincount(predicted, minlength=number)
    hits = np.bincount(labels[labels == predicted], minlength=number)
    p = hypergeom.sf(hits - 1, clips, own, given)
    return np.flatnonzero((p >= LARGEST_P) & (own >= FEWEST) & (clips - own >= FEWEST))
