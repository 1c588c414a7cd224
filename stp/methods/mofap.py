"""MoFAP (Wang, Qiao and Tang, IJCV 2016): motion features, atoms and phrases of improved trajectories; a linear SVM.

A video is divided into parts of equal length; a segment is a number of parts one after another, and one begins at
every part. Its trajectories are those whose middles lie in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.pipeline import Pipeline
from torch import Tensor

from stp.config import check_range
from stp.encoding.atoms import Atoms, Clustering, find_atoms
from stp.encoding.descriptors import TIME, check_trajectories, even_shares
from stp.encoding.fisher import unit_length
from stp.encoding.phrases import Mining, mine_phrases, phrase_responses, unit_responses
from stp.methods.idt import FisherEncoder, FisherOptions, check_input, linear_svm
from stp.methods.shallow import Encoder, StoredClips, encoded_method, stacked
from stp.system.progress import progress


@dataclass(frozen=True)
class MofapOptions(FisherOptions):
    """Options of segments, atoms and phrases; see `stp.encoding.atoms` and `stp.encoding.phrases`.

    A video has `parts`, a segment `segment_parts` of them. Of each class, up to `candidates` segments are clustered.
    Units have `anchors` times, evenly spread, and the deviation `sigma`, a share of the video's length.
    """

    parts: int = 16
    segment_parts: int = 4
    candidates: int = 100
    smallest_cluster: int = 4
    rounds: int = 5
    atom_C: float = 0.1
    anchors: int = 4
    sigma: float = 0.125
    or_units: int = 3
    phrase_size: int = 4
    kept_phrases: int = 50
    class_phrases: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("parts", [self.parts], 1, 1000)
        check_range("segment_parts", [self.segment_parts], 1, self.parts)
        check_range("candidates", [self.candidates], 2, 100_000)
        check_range("smallest_cluster", [self.smallest_cluster], 1, 100_000)
        check_range("rounds", [self.rounds], 1, 1000)
        check_range("atom_C", [self.atom_C], 1e-9, 1e9)
        check_range("anchors", [self.anchors], 1, 1000)
        check_range("sigma", [self.sigma], 1e-3, 1e3)
        for name in ("or_units", "phrase_size", "class_phrases"):
            check_range(name, [getattr(self, name)], 1, 100)
        check_range("kept_phrases", [self.kept_phrases], 1, 1000)

    @property
    def clustering(self) -> Clustering:
        return Clustering(self.smallest_cluster, self.rounds, self.atom_C)

    @property
    def mining(self) -> Mining:
        return Mining(self.or_units, self.phrase_size, self.kept_phrases, self.class_phrases)


def part_of(times: np.ndarray, parts: int) -> np.ndarray:
    """The part that each of `times`, shares of a video's length, lies in: int64 (n,)."""
    return np.clip((times.astype(np.float64) * parts).astype(np.int64), 0, parts - 1)


def of_segments(values: np.ndarray, segment_parts: int) -> np.ndarray:
    """Sums over the parts of each segment, from those of the parts (parts, ...): (segments, ...)."""
    return np.stack([values[first : first + segment_parts].sum(0) for first in range(len(values) - segment_parts + 1)])


class MofapEncoder:
    """A video's Fisher vector, its atoms and its phrases of each size, each of length 1, side by side: float32 (D,)."""

    def __init__(self, options: MofapOptions) -> None:
        self.options = options
        self.fisher = FisherEncoder(options)
        self.atoms = Atoms(np.zeros((0, 0), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
        self.phrases: list[np.ndarray] = []  # of each size

    def fit(self, clips: StoredClips, labels: np.ndarray, seed: int) -> np.ndarray:
        options = self.options
        self.fisher.learn(clips, seed)
        candidates, classes = self.candidates(clips, labels, seed)
        widths = [2 * book.means.size for book in self.fisher.codebooks.values()]
        self.atoms = find_atoms(candidates, classes, widths, options.clustering, seed)
        del candidates  # which are as large as all that follows
        seen = [self.seen(stored) for stored in progress(clips, desc="activations", unit="clip")]
        responses = np.stack([self.units(activations) for _, activations in seen])
        classes_of_units = np.repeat(self.atoms.classes, options.anchors)
        self.phrases = mine_phrases(responses, labels, classes_of_units, options.anchors, options.mining)
        return stacked((self.joined(*parts) for parts in seen), len(seen))

    def candidates(self, clips: StoredClips, labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of segments that have trajectories, (n, D), and their class numbers.

        They are drawn at random, evenly over the clips of a class.
        """
        options, rng = self.options, np.random.default_rng(seed)
        filled = []  # of each clip, the segments that have trajectories
        for stored in progress(clips, desc="segments", unit="clip"):
            check_trajectories(stored)
            counts = np.bincount(part_of(stored[:, TIME], options.parts), minlength=options.parts)
            filled.append(np.flatnonzero(of_segments(counts, options.segment_parts)))
        available, shares = np.array([len(segments) for segments in filled]), np.zeros(len(clips), np.int64)
        for label in np.unique(labels):
            shares[labels == label] = even_shares(available[labels == label], options.candidates)
        drawn = []
        for number in progress(np.flatnonzero(shares), desc="candidates", unit="clip"):
            chosen = np.sort(rng.choice(filled[number], shares[number], replace=False))
            drawn.append(self.vectors(clips[number])[1][chosen])
        return np.concatenate(drawn), np.repeat(labels, shares)

    def vectors(self, stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The Fisher vectors of a video (D,) and of its segments (segments, D)."""
        check_trajectories(stored)
        options, parts = self.options, part_of(stored[:, TIME], self.options.parts)
        sums = [self.fisher.sums(stored[parts == part]) for part in range(options.parts)]
        by_type = [np.stack(values) for values in zip(*sums, strict=True)]  # (parts, ...) each
        segments = zip(*(of_segments(values, options.segment_parts) for values in by_type), strict=True)
        whole = self.fisher.vector_of([values.sum(0) for values in by_type])
        return whole, np.stack([self.fisher.vector_of(list(values)) for values in segments])

    def seen(self, stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The Fisher vector of a video, and the activations of the atoms by its segments (segments, A).

        A segment without a trajectory activates no atom.
        """
        whole, segments = self.vectors(stored)
        return whole, self.atoms.activations(segments) * segments.any(1, keepdims=True)

    def units(self, activations: np.ndarray) -> np.ndarray:
        """Responses of all units to a video."""
        options = self.options
        times = (np.arange(len(activations)) + options.segment_parts / 2) / options.parts
        anchors = (np.arange(options.anchors) + 0.5) / options.anchors
        return unit_responses(activations, times, anchors, options.sigma)

    def joined(self, whole: np.ndarray, activations: np.ndarray) -> np.ndarray:
        """The vector of a video, from its Fisher vector and its segments' activations."""
        responses = self.units(activations)[None]
        phrases = [phrase_responses(responses, of_size)[0] for of_size in self.phrases]
        blocks = [whole, activations.max(0), *phrases]
        return np.concatenate([unit_length(block) for block in blocks]).astype(np.float32)

    def vector(self, stored: np.ndarray) -> np.ndarray:
        return self.joined(*self.seen(stored))

    def state(self) -> dict[str, Tensor]:
        atoms = {f"atoms.{name}": torch.tensor(value) for name, value in vars(self.atoms).items()}
        phrases = {f"phrases.{size}": torch.tensor(value) for size, value in enumerate(self.phrases, start=1)}
        return self.fisher.state() | atoms | phrases

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.fisher.restore(state)
        self.atoms = Atoms(*(state[f"atoms.{name}"].numpy() for name in ("weights", "biases", "classes")))
        self.phrases = [state[f"phrases.{size}"].numpy() for size in range(1, self.options.phrase_size + 1)]


def encoder(options: MofapOptions, modality: str) -> Encoder:
    return MofapEncoder(options)


def classifier(options: MofapOptions, seed: int) -> Pipeline:
    return linear_svm(options.C, seed)


METHOD = encoded_method(MofapOptions, encoder, classifier, check_input)
