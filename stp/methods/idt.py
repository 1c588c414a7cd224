"""Improved trajectories (Wang and Schmid, ICCV 2013): Fisher vectors and a linear SVM, or bags of words and a kernel.

Everything is fitted for each type of descriptor by itself, on a random sample of the training clips' trajectories.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC
from torch import Tensor

from stp.config import check_range
from stp.encoding.descriptors import LARGEST, TYPES, check_trajectories, sample
from stp.encoding.fisher import Codebook, fit_codebook
from stp.encoding.kernels import Chi2Kernel, KernelSVM
from stp.encoding.words import fit_words, histogram
from stp.errors import UserError
from stp.methods.shallow import Encoder, StoredClips, encoded_method, stacked
from stp.system.progress import progress
from stp.training.run import Run


@dataclass(frozen=True)
class FisherOptions:
    """Options of Fisher vectors of trajectories and of a linear SVM.

    The mixtures of `gaussians` are learnt from a `sample` of trajectories. With `whiten`, each number that PCA leaves
    has variance 1. `C` is the weight of the errors.
    """

    gaussians: int = 256
    sample: int = 256_000
    whiten: bool = True
    C: float = 100

    def __post_init__(self) -> None:
        check_range("gaussians", [self.gaussians], 1, 4096)
        check_range("sample", [self.sample], 1000, 10_000_000)
        check_range("C", [self.C], 1e-9, 1e9)


@dataclass(frozen=True)
class IdtOptions(FisherOptions):
    """Fisher vectors and a linear SVM, or histograms of `words` and an SVM with a chi-square kernel."""

    encoding: Literal["fisher", "bag_of_words"] = "fisher"
    words: int = 4000

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("words", [self.words], 2, 100_000)


def check_input(run: Run) -> None:
    """Raise UserError unless a run sees improved trajectories and nothing else."""
    if run.name.input != "idt":
        raise UserError(
            f"methods.{run.name.method}.inputs: '{run.name.input}' are not the improved trajectories that this method "
            "needs; allowed is idt"
        )


def training_sample(clips: StoredClips, total: int, key: str, needed: int, seed: int) -> np.ndarray:
    """Up to `total` trajectories of the training clips (rows, 430); UserError if there are fewer than `key` needs."""
    rows = sample(clips, clips.lengths(), total, seed)
    if len(rows) < needed:
        raise UserError(
            f"methods.{clips.method}: the training clips have {len(rows)} trajectories, but option {key} needs "
            f"{needed}; lower it, or features.idt.min_motion"
        )
    return rows


class FisherEncoder:
    """The Fisher vectors of all types of descriptors, side by side: float32 (2 K times half of 426,)."""

    def __init__(self, options: FisherOptions) -> None:
        self.options = options
        self.codebooks: dict[str, Codebook] = {}

    def learn(self, clips: StoredClips, seed: int) -> None:
        """Fit the codebooks of all types."""
        options = self.options
        rows = training_sample(clips, options.sample, "gaussians", max(options.gaussians, LARGEST // 2), seed)
        self.codebooks = {
            name: fit_codebook(rows[:, TYPES[name]], options.gaussians, options.whiten, seed)
            for name in progress(TYPES, desc="mixtures of Gaussians", unit="type")
        }

    def fit(self, clips: StoredClips, labels: np.ndarray, seed: int) -> np.ndarray:
        self.learn(clips, seed)
        vectors = (self.vector(stored) for stored in progress(clips, desc="Fisher vectors", unit="clip"))
        return stacked(vectors, len(clips))

    def vector(self, stored: np.ndarray) -> np.ndarray:
        return self.vector_of(self.sums(stored))

    def sums(self, stored: np.ndarray) -> list[np.ndarray]:
        """The sums of each type over some trajectories (n, 430); those of several parts of a clip may be added."""
        check_trajectories(stored)
        return [codebook.sums(stored[:, TYPES[name]]) for name, codebook in self.codebooks.items()]

    def vector_of(self, sums: list[np.ndarray]) -> np.ndarray:
        """The vector of trajectories with these sums."""
        codebooks = self.codebooks.values()
        return np.concatenate([book.fisher_vector(part) for book, part in zip(codebooks, sums, strict=True)])

    def state(self) -> dict[str, Tensor]:
        return {f"{name}.{key}": value for name, book in self.codebooks.items() for key, value in book.state().items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        for name in TYPES:
            own = f"{name}."
            arrays = {key.removeprefix(own): value for key, value in state.items() if key.startswith(own)}
            self.codebooks[name] = Codebook.of_state(arrays)


class WordsEncoder:
    """The histograms of words of all types of descriptors, side by side: float32 (5 x words,)."""

    def __init__(self, options: IdtOptions) -> None:
        self.options = options
        self.words: dict[str, np.ndarray] = {}

    def fit(self, clips: StoredClips, labels: np.ndarray, seed: int) -> np.ndarray:
        options = self.options
        rows = training_sample(clips, options.sample, "words", options.words, seed)
        for name in progress(TYPES, desc="vocabularies", unit="type"):
            self.words[name] = fit_words(rows[:, TYPES[name]], options.words, seed)
        vectors = (self.vector(stored) for stored in progress(clips, desc="bags of words", unit="clip"))
        return stacked(vectors, len(clips))

    def vector(self, stored: np.ndarray) -> np.ndarray:
        check_trajectories(stored)
        return np.concatenate([histogram(stored[:, TYPES[name]], words) for name, words in self.words.items()])

    def state(self) -> dict[str, Tensor]:
        return {name: torch.tensor(words) for name, words in self.words.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.words = {name: state[name].numpy() for name in TYPES}


def encoder(options: IdtOptions, modality: str) -> Encoder:
    return WordsEncoder(options) if options.encoding == "bag_of_words" else FisherEncoder(options)


def linear_svm(C: float, seed: int) -> Pipeline:
    """One linear SVM per class against all others."""
    return Pipeline([("svm", LinearSVC(C=C, max_iter=10_000, random_state=seed))])


def classifier(options: IdtOptions, seed: int) -> Pipeline:
    """One SVM per class against all others."""
    if options.encoding == "bag_of_words":
        return Pipeline([("kernel", Chi2Kernel(len(TYPES))), ("svm", KernelSVM(options.C))])
    return linear_svm(options.C, seed)


METHOD = encoded_method(IdtOptions, encoder, classifier, check_input)
