"""Who moves in the demo data, and how: actors, sub-motions and their order, postures.

Lengths are in scene units: pixels of a 128 x 96 frame with the origin at its centre, y down. Angles are in radians.
"""

from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from stp.config import Onset
from stp.datasets.demo.onset import action_frames, fidgets

CLASSES = ("pointing", "attention", "positive", "negative", "passing", "receiving", "gesture")

Array = NDArray[np.floating]  # float32 wherever there are pixels

Stroke = tuple[float, float, float, float]  # (start, end, from, to): times on the action's own clock, from 0 to 1


def _out(quarter: int) -> Stroke:
    return quarter / 4, (quarter + 1) / 4, 0.0, 1.0


def _back(quarter: int) -> Stroke:
    return quarter / 4, (quarter + 1) / 4, 1.0, 0.0


FIRST, SECOND = (0.0, 0.42, 0.0, 1.0), (0.58, 1.0, 0.0, 1.0)
SWING = ((0.0, 0.25, 0.0, 1.0), (0.25, 0.5, 1.0, -0.6), (0.5, 0.75, -0.6, 1.0), (0.75, 1.0, 1.0, 0.0))
# When each sub-motion of a class happens. The halves of pointing and gesture hold the same, their quarters do not.
PLAN: dict[str, dict[str, tuple[Stroke, ...]]] = {
    "pointing": {"raise": (_out(0), _back(3)), "extend": (_out(1), _back(2))},
    "gesture": {"extend": (_out(0), _back(3)), "raise": (_out(1), _back(2))},
    "passing": {"reach": (FIRST,), "lean": (SECOND,)},
    "receiving": {"lean": (FIRST,), "reach": (SECOND,)},
    "positive": {"nod": SWING},
    "negative": {"shake": SWING},
    "attention": {"turn": ((0.0, 0.8, 0.0, 1.0),)},
}
SUB_MOTIONS = ("raise", "extend", "reach", "lean", "nod", "shake", "turn")
STRENGTH = (0.3, 0.8)  # least and most of a sub-motion, of the sizes in `pose`
HANDED_OVER = 0.5  # the action's time at which a folder that is passed leaves the hand, or one received is in it
TAKEN = (0.2, 0.8)  # its times at which a notebook is taken up to point, or laid down for a gesture, and back again
NUMBER_TAG, ACTOR_TAG = 1, 2  # keep the random streams of clips and actors apart


@dataclass(frozen=True)
class Actor:
    """Looks and proportions of one person; colours are RGB, 0..255."""

    skin: Array
    hair: Array
    cloth: Array
    trim: Array
    pattern: int
    size: float
    shoulder: float
    head: tuple[float, float]
    hairline: float
    long_hair: bool
    seat: float

    @classmethod
    def cast(cls, actor: int, seed: int) -> "Actor":
        """The same person for the same number and seed."""
        rng = np.random.default_rng([seed, ACTOR_TAG, actor])
        tone = rng.uniform(0, 1)
        cloth = hue(rng.uniform(0, 180), rng.uniform(60, 190), rng.uniform(80, 220))
        return cls(
            skin=(1 - tone) * vector(238, 200, 176) + tone * vector(112, 74, 52),
            hair=hue(rng.uniform(5, 22), rng.uniform(20, 150), rng.uniform(25, 130)),
            cloth=cloth,
            trim=np.clip(cloth + rng.choice([-1, 1]) * rng.uniform(45, 90), 10, 245).astype(np.float32),
            pattern=int(rng.integers(4)),
            size=rng.uniform(1.28, 1.48),
            shoulder=rng.uniform(16.5, 20.5),
            head=(rng.uniform(8.3, 9.8), rng.uniform(10.8, 12.4)),
            hairline=rng.uniform(-0.6, -0.38),
            long_hair=bool(rng.random() < 0.4),
            seat=rng.uniform(-8, 8),
        )


def vector(*values: float) -> Array:
    """A colour (RGB, 0..255) or another short vector as float32."""
    return np.array(values, np.float32)


def hue(h: float, s: float, v: float) -> Array:
    """RGB colour of OpenCV's 8-bit hue (0..180), saturation and value (0..255)."""
    return cv2.cvtColor(np.array([[[h, s, v]]], np.uint8), cv2.COLOR_HSV2RGB)[0, 0].astype(np.float32)


def clip_rng(number: int, seed: int, part: int) -> np.random.Generator:
    """Random stream of one part of a clip; the label plays no role."""
    return np.random.default_rng([seed, NUMBER_TAG, number, part])


def ease(x: Array) -> Array:
    """Minimum-jerk progress from 0 to 1 (Flash and Hogan 1985): the speed profile of human reaching."""
    x = np.clip(x, 0, 1)
    return x * x * x * (10 + x * (6 * x - 15))


def wander(rng: np.random.Generator, frames: int, size: float) -> Array:
    """Smooth random series of standard deviation about `size`, starting anywhere: (frames,)."""
    t = np.arange(frames)[:, None]
    periods, phases = rng.uniform(14, 70, 4), rng.uniform(0, 2 * np.pi, 4)
    return (size / np.sqrt(2) * np.sin(2 * np.pi * t / periods + phases).sum(1)).astype(np.float32)


def action_clock(number: int, frames: int, seed: int, onset: Onset) -> Array:
    """The action's own time at each frame, 0 where it begins and 1 where it ends: (frames,) float64.

    With the onset `anywhere`, the action takes a third of the clip and begins at any time that lets it end in it.
    """
    rng = clip_rng(number, seed, 0)
    length = action_frames(frames, onset) * rng.uniform(0.78, 0.86)
    first = rng.uniform(0.3, max(0.3, frames - 2 - length))  # 12 frames may leave less room before the action's end
    return (np.arange(frames) - first) / length


def sub_motions(label: str, number: int, frames: int = 24, seed: int = 0, onset: Onset = "aligned") -> dict[str, Array]:
    """Progress of every sub-motion over a clip, (frames,) each: 0 at rest, 1 fully done; idle movement not included.

    Onset and tempo come from `number` and `seed`, so two classes of one number differ in nothing but their `PLAN`.
    Raises ValueError for an unknown label.
    """
    if label not in PLAN:
        raise ValueError(f"label {label!r} is not one of {', '.join(CLASSES)}")
    clock = action_clock(number, frames, seed, onset)
    progress = {name: np.zeros(frames, np.float32) for name in SUB_MOTIONS}
    for name, strokes in PLAN[label].items():
        for start, end, before, after in strokes:
            progress[name] += np.float32(after - before) * ease((clock - start) / (end - start)).astype(np.float32)
    return progress


@dataclass(frozen=True)
class Pose:
    """Where the body is: series over the clip, (frames,) or (frames, 2), in scene units and radians.

    `side` is the hand that acts, 0 the left and 1 the right one of the image; `folder` and `notebook`, (frames,) bool,
    say when it holds one.
    """

    base: Array
    lean: Array
    yaw: Array
    pitch: Array
    twist: Array
    hands: tuple[Array, Array]
    side: int
    folder: NDArray[np.bool_]
    notebook: NDArray[np.bool_]


def pose(label: str, actor: Actor, number: int, frames: int, seed: int, onset: Onset = "aligned") -> Pose:
    """Random rest posture and idle movement, plus the class's sub-motions on a random side.

    Who passes a folder holds it until it is handed over, who receives one holds it from then on. Who points takes up a
    notebook in the middle of the action, who gestures lays one down there; in a clip that the action fills, each holds
    it half of the time, and half of each half.

    With the onset `anywhere`, other small movements stand before and after the action.
    """
    done = sub_motions(label, number, frames, seed, onset)
    rng = clip_rng(number, seed, 1)
    strength = dict(zip(SUB_MOTIONS, rng.uniform(*STRENGTH, len(SUB_MOTIONS)).astype(np.float32), strict=True))
    move = {name: strength[name] * done[name] for name in SUB_MOTIONS}
    side = int(rng.integers(2))
    sign = np.float32(1 if side else -1)
    base = vector(actor.seat + rng.uniform(-9, 9), 66 + rng.uniform(-3, 3))
    idle = partial(wander, rng, frames)
    hands = []
    for k, out in enumerate((-1.0, 1.0)):
        rest = vector(out * rng.uniform(7, 19), -rng.uniform(20, 31))
        hand = base + actor.size * rest + np.stack([idle(0.9), idle(0.9)], 1)
        if k == side:
            hand[:, 0] += out * (8 * move["extend"] - 5 * move["reach"])
            hand[:, 1] -= 8 * move["raise"] + 6 * move["reach"]
        hands.append(hand.astype(np.float32))
    turn = sign * move["turn"]
    clock = action_clock(number, frames, seed, onset)
    middle, never = (clock >= TAKEN[0]) & (clock < TAKEN[1]), np.zeros(frames, bool)
    body = Pose(
        base=base + np.stack([idle(0.3), idle(0.2)], 1),
        lean=rng.uniform(-0.08, 0.08) + idle(0.012) + 0.07 * sign * move["lean"],
        yaw=rng.uniform(-0.5, 0.5) + idle(0.06) + 0.45 * turn + 0.27 * sign * move["shake"],
        pitch=rng.uniform(-0.2, 0.25) + idle(0.04) + 0.24 * move["nod"],
        twist=rng.uniform(-2, 2) + idle(0.25) + 1.6 * turn,
        hands=(hands[0], hands[1]),
        side=side,
        folder={"passing": clock < HANDED_OVER, "receiving": clock >= HANDED_OVER}.get(label, never),
        notebook={"pointing": middle, "gesture": ~middle}.get(label, never),
    )
    if onset == "aligned":
        return body
    other = fidgets(clip_rng(number, seed, 4), (clock < 0) | (clock > 1))
    return replace(
        body,
        base=body.base + other.base,
        yaw=body.yaw + other.yaw,
        pitch=body.pitch + other.pitch,
        hands=(body.hands[0] + other.hands[0], body.hands[1] + other.hands[1]),
    )


def elbow(shoulder: Array, hand: Array, upper: float, fore: float, out: float) -> tuple[Array, Array]:
    """Two-bone inverse kinematics, bending to the side `out`: elbow and the hand within reach, (T, 2) each."""
    line = hand - shoulder
    length = np.linalg.norm(line, axis=1, keepdims=True)
    line = line / length
    length = np.clip(length, abs(upper - fore) + 0.5, upper + fore - 0.1)
    along = (length**2 + upper**2 - fore**2) / (2 * length)
    across = np.sqrt(np.maximum(upper**2 - along**2, 0))
    normal = np.stack([line[:, 1], -line[:, 0]], 1) * out
    return shoulder + along * line + across * normal, shoulder + length * line
