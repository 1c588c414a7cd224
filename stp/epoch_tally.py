"""What an epoch adds up while its batches pass."""

from dataclasses import dataclass

import numpy as np


@dataclass
class EpochTally:
    """Sums over the batches done; `correct` and `videos` count by class, `loss` is summed over videos."""

    correct: list[int]
    videos: list[int]
    batches: int = 0
    loss: float = 0.0
    images: int = 0
    seconds: float = 0.0

    @classmethod
    def empty(cls, classes: int) -> "EpochTally":
        return cls([0] * classes, [0] * classes)

    def add(self, loss: float, labels: np.ndarray, predictions: np.ndarray, images: int, seconds: float) -> None:
        """A batch: its mean loss, true and predicted classes int64 (B,), its images and what it took."""
        for label, prediction in zip(labels.tolist(), predictions.tolist(), strict=True):
            self.videos[label] += 1
            self.correct[label] += label == prediction
        self.batches += 1
        self.loss += loss * len(labels)
        self.images += images
        self.seconds += seconds

    def mean_loss(self) -> float:
        return self.loss / sum(self.videos)

    def accuracy(self) -> float:
        """Share of all videos, 0..1."""
        return sum(self.correct) / sum(self.videos)

    def class_accuracy(self) -> float:
        """Mean over the classes of the share of their videos, 0..1."""
        return float(np.mean([c / n for c, n in zip(self.correct, self.videos, strict=True) if n]))
