"""Motion phrases (Wang, Qiao and Tang, IJCV 2016): atoms at certain times, joined by OR and AND.

A unit is an atom with a time t, a share of the video's length. Its response to a video is the largest, over the video's
segments, of the segment's activation times exp(-(t' - t)^2 / 2 sigma^2), t' the time of the segment's middle. The
response of an OR of units is their largest one, that of a phrase, an AND of ORs, the smallest of its ORs. Responses
are not negative.

Phrases are mined for each class. A phrase holds the videos of the class that are among as many of the largest responses
as the class has videos; the sum of their responses, mean times number, is how well it represents the class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from stp.system.progress import progress

Or = tuple[int, ...]  # numbers of units, in ascending order
Phrase = tuple[Or, ...]  # in ascending order, too


@dataclass(frozen=True)
class Mining:
    """The most units of an OR, ORs of a phrase, phrases that a step keeps, and phrases of a size that a class gets."""

    units: int = 3
    size: int = 4
    kept: int = 50
    phrases: int = 20


def unit_responses(activations: np.ndarray, times: np.ndarray, anchors: np.ndarray, sigma: float) -> np.ndarray:
    """Responses of all units to a video: (A * anchors,), those of an atom one after another.

    `activations` (segments, A) are those of its segments, with middles at `times` (segments,); each atom makes a unit
    at each of the times `anchors`.
    """
    near = np.exp(-((times[:, None] - anchors) ** 2) / (2 * sigma**2))
    responses: np.ndarray = (activations[:, :, None] * near[:, None]).max(0)
    return responses.reshape(-1)


def as_array(phrases: Sequence[Phrase], size: int, units: int) -> np.ndarray:
    """Phrases of a size as the numbers of their units, int64 (phrases, size, units); -1 stands for no unit."""
    array = np.full((len(phrases), size, units), -1)
    for number, phrase in enumerate(phrases):
        for part, members in enumerate(phrase):
            array[number, part, : len(members)] = members
    return array


def phrase_responses(responses: np.ndarray, phrases: np.ndarray) -> np.ndarray:
    """Responses of phrases, as `as_array` gives them, from those of all units (videos, units): (videos, phrases)."""
    with_none = np.pad(responses, ((0, 0), (0, 1)))  # the last unit, number -1, has response 0
    smallest: np.ndarray = with_none[:, phrases].max(-1).min(-1)
    return smallest


def held(responses: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The videos that each phrase holds, bool (videos, phrases), of the class's videos `own` bool (videos,)."""
    largest = np.argsort(-responses, axis=0, kind="stable")[: own.sum()]
    among = np.zeros(responses.shape, bool)
    np.put_along_axis(among, largest, True, axis=0)
    return among & own[:, None]


def representations(responses: np.ndarray, own: np.ndarray) -> np.ndarray:
    """How well each phrase (videos, phrases) represents the class of the videos `own`: (phrases,)."""
    return np.where(held(responses, own), responses, 0).sum(0)


@dataclass(frozen=True)
class ClassMiner:
    """Mines the phrases of one class: `own` bool (videos,) are its videos, `responses` (videos, units) of all units."""

    responses: np.ndarray
    own: np.ndarray
    mining: Mining

    def scored(self, phrases: Sequence[Phrase]) -> tuple[np.ndarray, np.ndarray]:
        """The videos that each phrase of a size holds (videos, phrases), and how well it represents the class."""
        size = len(phrases[0])
        responses = phrase_responses(self.responses, as_array(phrases, size, self.mining.units))
        return held(responses, self.own), representations(responses, self.own)

    def best(self, phrases: Sequence[Phrase], number: int) -> list[Phrase]:
        """The phrases of a size that represent the class best."""
        _, values = self.scored(phrases)
        return [phrases[i] for i in np.argsort(-values, kind="stable")[:number]]

    def ors(self, units: Sequence[int], anchors: int) -> list[Phrase]:
        """Phrases of one OR: every unit by itself, and grown by the units that help it most.

        All units of an OR are at neighbouring times or the same one; there are `anchors` times.
        """
        found: dict[Phrase, None] = {((unit,),): None for unit in units}
        for first in units:
            current: Or = (first,)
            while len(current) < self.mining.units:
                close = [
                    unit
                    for unit in units
                    if unit not in current and all(abs(unit % anchors - one % anchors) <= 1 for one in current)
                ]
                grown: list[Phrase] = [(current,), *((tuple(sorted((*current, unit))),) for unit in close)]
                ((best,),) = self.best(grown, 1)
                if best == current:
                    break
                current = best
            found[current,] = None
        return list(found)

    def longer(self, phrases: Sequence[Phrase]) -> list[Phrase]:
        """Phrases that are one OR longer, each the union of two of `phrases`; no two of its ORs share a unit."""
        found: dict[Phrase, None] = {}
        for pair in combinations(phrases, 2):
            union = tuple(sorted({*pair[0], *pair[1]}))
            units = [unit for part in union for unit in part]
            if len(union) == len(pair[0]) + 1 and len(set(units)) == len(units):
                found[union] = None
        return list(found)

    def covering(self, phrases: Sequence[Phrase]) -> list[Phrase]:
        """The phrases that a class gets: one after another that which holds the most videos no earlier one holds.

        Of equal ones, the one that represents the class best.
        """
        videos, values = self.scored(phrases)
        order = list(np.argsort(-values, kind="stable"))
        covered = np.zeros(len(self.own), bool)
        chosen: list[Phrase] = []
        while order and len(chosen) < self.mining.phrases:
            added = [(videos[:, i] & ~covered).sum() for i in order]
            choice = order.pop(int(np.argmax(added)))
            covered |= videos[:, choice]
            chosen.append(phrases[choice])
        return chosen

    def mine(self, units: Sequence[int], anchors: int) -> list[list[Phrase]]:
        """The phrases of each size, from these units of the class."""
        kept = self.best(self.ors(units, anchors), self.mining.kept)
        found: list[list[Phrase]] = []
        while kept and len(found) < self.mining.size:
            found.append(self.covering(kept))
            grown = self.longer(kept)
            kept = self.best(grown, self.mining.kept) if grown else []
        return found


def mine_phrases(
    responses: np.ndarray, labels: np.ndarray, unit_classes: np.ndarray, anchors: int, mining: Mining
) -> list[np.ndarray]:
    """The phrases of each size for all classes, as `as_array` gives them.

    `responses` (videos, units) are those of all units to the training videos, whose class numbers are `labels`;
    `unit_classes` (units,) are the classes of the units.
    """
    found: list[list[Phrase]] = [[] for _ in range(mining.size)]
    for label in progress(np.unique(unit_classes), desc="motion phrases", unit="class"):
        miner = ClassMiner(responses, labels == label, mining)
        for size, phrases in enumerate(miner.mine(np.flatnonzero(unit_classes == label).tolist(), anchors)):
            found[size] += phrases
    return [as_array(phrases, size + 1, mining.units) for size, phrases in enumerate(found)]
