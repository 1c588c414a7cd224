"""The demo as its actors see it: by a camera on the head, which every turn, nod, lean and shift of the actor moves.

It shows the same scene as the second person's camera, from the other side of the desk: the partner, a room behind him,
the desk, and the actor's own hands where they come into view. The partner holds what is received until it is handed
over, and what is passed from then on. World coordinates are scene units, as in `movement`: x to the actor's right (the
other way than in the second person's image), y down, z from the actor to the partner. Heads are at z = 0 and `PARTNER`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from stp.datasets.demo.clip_format import DemoFormat
from stp.datasets.demo.drawing import (
    PAPER,
    Array,
    arm_joints,
    cloth_shader,
    develop,
    draw_hand,
    draw_head,
    draw_held,
    draw_limb,
    draw_room,
    draw_torso,
    head_centre,
    noise_texture,
    over,
    sample,
    skin_shader,
)
from stp.datasets.demo.movement import (
    Actor,
    Pose,
    action_clock,
    clip_rng,
    ease,
    hue,
    pose,
    vector,
    wander,
)

PARTNER = 150.0  # from head to head
WALL = 230.0  # from the actor to the wall behind the partner, which is round
DESK = (20.0, 136.0)  # where the desk begins and ends
HANDS, ELBOWS = 50.0, 12.0  # z of the actor's own
OTHERS = 1000  # partners are people who act in no clip
TILT = 0.3  # of the camera, downwards, radians
FOCAL = 0.64  # of the frame's width: a view of 76 degrees
RADII = ((4.6, 3.7), (3.6, 2.5))  # of upper arms and forearms at both ends, over a person's size
NEAR = 5.0  # what is nearer than this is drawn as if it were here
AHEAD = 0.05  # least z of a ray; one that is less would see far to the side


class HeadCamera:
    """The camera on the actor's head: where it is, (T, 3), its directions, (T, 3, 3), and the ray of every pixel.

    `rays` are three arrays (T, H, W), x, y and z of a step along each ray that is 1 long in the camera's own direction.
    """

    def __init__(self, body: Pose, person: Actor, rng: np.random.Generator, size: tuple[int, int]) -> None:
        width, height = size
        head = head_centre(body, person)
        self.place = np.stack([-head[:, 0], head[:, 1], 0 * head[:, 0]], 1)
        tremor = rng.normal(0, 0.0012, (2, len(head)))
        self.turn = rotation(body.lean, body.yaw + tremor[0], body.pitch + tremor[1])
        self.focal = FOCAL * width
        self.u = (np.arange(width, dtype=np.float32) - (width - 1) / 2) / np.float32(self.focal)
        self.v = (np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2) / np.float32(self.focal)
        rows = self.turn.astype(np.float32)[..., None, None]  # (T, 3, 3, 1, 1)
        self.rays = [rows[:, i, 0] * self.u + rows[:, i, 1] * self.v + rows[:, i, 2] for i in range(3)]

    def seen(self, points: Array) -> tuple[Array, Array]:
        """World points (T, 3) as the camera sees them: u and v where the ray has length 1, (T, 2), and depth, (T,)."""
        own = np.einsum("tji,tj->ti", self.turn, points - self.place)
        depth = np.maximum(own[:, 2], NEAR)
        return own[:, :2] / depth[:, None], depth

    def upright(self, z: float) -> "Plane":
        """The upright plane across the view at `z`; its coordinates are x and y of the world."""
        steps = np.float32(z) / np.maximum(self.rays[2], AHEAD)
        x, y = (steps * self.rays[i] + self.place[:, i, None, None].astype(np.float32) for i in (0, 1))
        return Plane(x, y, self.focal / z)

    def facing(self, depth: Array) -> "Plane":
        """The plane that faces the camera at a depth, (T,); coordinates are scene units from the optical axis."""
        shape = (len(depth), self.v.shape[0], len(self.u))
        far = depth.astype(np.float32)[:, None, None]
        x, y = (np.broadcast_to(far * axis, shape) for axis in (self.u, self.v))
        return Plane(x, y, self.focal / float(depth.mean()))


@dataclass
class Plane:
    """A plane in the scene, to draw on (`stp.datasets.demo.drawing.Surface`)."""

    x: Array
    y: Array
    scale: float

    def box(self, points: Array, margin: float) -> tuple[slice, slice, slice]:
        """See `Surface`."""
        (left, top), (right, bottom) = points.min((0, 1)) - margin, points.max((0, 1)) + margin
        inside = ((self.x >= left) & (self.x <= right) & (self.y >= top) & (self.y <= bottom)).any(0)
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        if not len(rows):
            return slice(None), slice(0, 1), slice(0, 1)  # out of view: a pixel that nothing is painted on
        return slice(None), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def rotation(lean: Array, yaw: Array, pitch: Array) -> Array:
    """The camera's right, down and forward directions as columns, (T, 3, 3), of a head as `draw_head` turns it."""
    zero, one = np.zeros(len(yaw)), np.ones(len(yaw))

    def about(angle: Array, axes: tuple[int, int]) -> Array:
        turn = np.zeros((len(yaw), 3, 3))
        c, s = np.cos(angle), np.sin(angle)
        i, j = axes
        (k,) = {0, 1, 2} - {i, j}
        turn[:, i, i], turn[:, i, j], turn[:, j, i], turn[:, j, j], turn[:, k, k] = c, s, -s, c, one
        return turn

    # In the world, x is the other way than in the second person's image: turns and leans have the other sign.
    leaned, nodded, turned = about(lean, (0, 1)), about(pitch, (1, 2)), about(-yaw, (0, 2))
    return leaned @ nodded @ turned @ about(zero + TILT, (1, 2))


def partner_pose(person: Actor, number: int, frames: int, seed: int) -> Pose:
    """The partner's posture: his own rest posture and idle movement, in the coordinates of an image of him."""
    rng = clip_rng(number, seed, 5)
    base = vector(person.seat / 2 + rng.uniform(-5, 5), 66 + rng.uniform(-3, 3))
    hands = []
    for out in (-1.0, 1.0):
        rest = vector(out * rng.uniform(9, 17), -rng.uniform(22, 29))
        hands.append(base + person.size * rest + np.stack([wander(rng, frames, 0.6), wander(rng, frames, 0.6)], 1))
    return Pose(
        base=base + np.stack([wander(rng, frames, 0.3), wander(rng, frames, 0.2)], 1),
        lean=rng.uniform(-0.06, 0.06) + wander(rng, frames, 0.012),
        yaw=rng.uniform(-0.15, 0.15) + wander(rng, frames, 0.05),
        pitch=rng.uniform(-0.1, 0.15) + wander(rng, frames, 0.04),
        twist=wander(rng, frames, 0.25),
        hands=(hands[0], hands[1]),
        side=int(rng.integers(2)),
        folder=np.zeros(frames, bool),
        notebook=np.zeros(frames, bool),
    )


def draw_first_person(label: str, actor: int, number: int, clip_format: DemoFormat | None = None) -> NDArray[np.uint8]:
    """The actor's view in the clip that `draw_clip` draws of the same arguments: RGB uint8 (frames, height, width, 3).

    It is as long and as large, and deterministic. Raises ValueError for an unknown label.
    """
    f = clip_format or DemoFormat()
    person, partner = Actor.cast(actor, f.seed), Actor.cast(OTHERS + actor, f.seed)
    body = pose(label, person, number, f.frames, f.seed, f.onset)
    other = partner_pose(partner, number, f.frames, f.seed)
    rng = clip_rng(number, f.seed, 6)
    camera = HeadCamera(body, person, rng, (f.width, f.height))
    grain = noise_texture(rng, 400, 400, (3, 6, 12))
    image = draw_wall(camera, draw_room(OTHERS + actor, f.seed, 2), rng.uniform(-20, 20))
    draw_partner(image, camera, other, partner, grain)
    draw_desk(image, camera, rng, grain)

    clock = action_clock(number, f.frames, f.seed, f.onset)
    if body.folder.any():
        other = replace(other, folder=~body.folder)
    own = [own_arm(body, person, side) for side in (0, 1)]
    meeting = own[body.side][1] + vector(0, -4, 14) if other.folder.any() else None  # beyond the actor's acting hand
    for side, out in enumerate((-1.0, 1.0)):
        acts = side == other.side
        arm = partner_arm(other, partner, side, clock, meeting if acts else None)
        draw_arm(image, camera, arm, partner, grain, out, other if acts else None)
    for side, out in enumerate((1.0, -1.0)):
        draw_arm(image, camera, own[side], person, grain, out, body if side == body.side else None)
    return develop(image, rng)


def draw_wall(camera: HeadCamera, room: Array, pan: float) -> Array:
    """The wall all around, with the partner's room on it and mirror images beside: (T, H, W, 3)."""
    x, y, z = camera.rays
    steps = WALL / np.hypot(x, z)
    place = camera.place.astype(np.float32)[:, :, None, None]
    across = np.arctan2(place[:, 0] + steps * x, place[:, 2] + steps * z) * WALL + 95 + pan
    down = place[:, 1] + steps * y + 75
    flat = (-1, across.shape[-1])
    image = cv2.remap(
        room, 2 * across.reshape(flat), 2 * down.reshape(flat), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(image, np.float32).reshape(*across.shape, 3)


def draw_partner(image: Array, camera: HeadCamera, body: Pose, person: Actor, grain: Array) -> None:
    """Head and chest of the partner, who faces the actor."""
    plane = camera.upright(PARTNER)
    draw_torso(image, plane, body, person, cloth_shader(person, grain), skin_shader(person, grain))
    draw_head(image, plane, head_centre(body, person), body, person, grain)


def draw_desk(image: Array, camera: HeadCamera, rng: np.random.Generator, grain: Array) -> None:
    """The desk between the two, with a few sheets and books on it, none of them red as what is handed over."""
    wood = hue(rng.uniform(6, 20), rng.uniform(60, 150), rng.uniform(90, 190))
    eyes = camera.place.astype(np.float32)[:, :, None, None]
    below = np.float32(rng.uniform(41, 45)) - eyes[:, 1]
    slope = camera.rays[1] / np.maximum(camera.rays[2], AHEAD)  # of a ray; it meets the desk at z = below / slope
    far, near = below / DESK[1], below / DESK[0]
    found = np.flatnonzero(((slope > 0.9 * far) & (slope < 1.1 * near)).any((0, 2)))
    rows = slice(found[0], found[-1] + 1) if len(found) else slice(0, 1)
    slope, across, down = slope[:, rows], camera.rays[0][:, rows], np.maximum(camera.rays[1][:, rows], 1e-3)
    x, z = eyes[:, 0] + below * across / down, below / np.maximum(slope, 0.5 * far)
    wide = np.float32(camera.focal) / z  # pixels per scene unit across the view
    deep = wide * below / z  # and along it
    colour = wood * (1 + 0.2 * sample(grain, x * 0.7 + 200, z * 3)[..., None])
    for _ in range(4):
        tint = PAPER if rng.random() < 0.5 else hue(rng.uniform(25, 155), rng.uniform(60, 160), rng.uniform(60, 190))
        middle, half = (
            vector(rng.uniform(-60, 60), rng.uniform(55, 125)),
            vector(rng.uniform(5, 12), rng.uniform(5, 12)),
        )
        inside = np.minimum((half[0] - np.abs(x - middle[0])) * wide, (half[1] - np.abs(z - middle[1])) * deep)
        colour += np.clip(inside + 0.5, 0, 1)[..., None] * (tint - colour)
    edges = np.maximum(np.maximum(far - slope, slope - near) * np.float32(camera.focal), (np.abs(x) - 95) * wide)
    over(image, (slice(None), rows, slice(None)), edges, colour, 1.0)


def own_arm(body: Pose, person: Actor, side: int) -> list[Array]:
    """Elbow and wrist of the actor's left (0) or right (1) arm of the second person's image, in the world: (T, 3)."""
    _, bend, wrist = arm_joints(body, person, side)
    return [
        np.column_stack([-point[:, 0], point[:, 1], np.full(len(point), z)])
        for point, z in ((bend, ELBOWS), (wrist, HANDS))
    ]


def partner_arm(body: Pose, person: Actor, side: int, clock: Array, meeting: Array | None) -> list[Array]:
    """Shoulder, elbow and wrist of the partner's left (0) or right (1) arm as the actor sees it: (T, 3) each.

    With a place of `meeting`, (T, 3), the hand is there when the object is handed over.
    """
    arm = [
        np.column_stack([point, np.full(len(point), z)])
        for point, z in zip(arm_joints(body, person, side), (PARTNER - 2, PARTNER - 10, PARTNER - 27), strict=True)
    ]
    if meeting is not None:
        reach = (ease((clock - 0.15) / 0.3) - ease((clock - 0.55) / 0.3))[:, None]
        shoulder, elbow, wrist = arm
        wrist = wrist + reach * (meeting - wrist)
        arm = [shoulder, elbow + reach * ((shoulder + wrist) / 2 + vector(0, 6, 0) - elbow), wrist]
    return arm


def draw_arm(
    image: Array,
    camera: HeadCamera,
    joints: Sequence[Array],
    person: Actor,
    grain: Array,
    out: float,
    holder: Pose | None,
) -> None:
    """An arm, or a forearm, by its joints down to the wrist, world points (T, 3), with what its `holder` holds."""
    cloth, skin, size = cloth_shader(person, grain), skin_shader(person, grain), person.size
    seen = [camera.seen(joint) for joint in joints]
    for (start, near), (end, depth), radii in zip(seen[:-1], seen[1:], RADII[1 - len(seen) :], strict=True):
        plane = camera.facing(depth)
        bend, wrist = start * depth[:, None], end * depth[:, None]
        thick = radii[0] * size * float((depth / near).mean())
        draw_limb(image, plane, (bend, wrist), (thick, radii[1] * size), cloth, out)
    line = wrist - bend
    forearm = 16 * size * line / np.linalg.norm(line, axis=1, keepdims=True)
    grip = draw_hand(image, plane, (wrist - forearm, wrist), size, skin, out)
    if holder is not None:
        draw_held(image, plane, grip, size, holder)
