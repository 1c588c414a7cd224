"""How the demo data look: room, body and camera, drawn with soft edges about a pixel wide; units as in `movement`."""

from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from stp.datasets.demo.clip_format import DemoFormat
from stp.datasets.demo.movement import Actor, Array, Pose, clip_rng, elbow, hue, pose, vector, wander

ROOM_TAG = 3  # keeps the random streams of rooms apart from those of clips and actors
FOLDER, NOTEBOOK, PAPER = vector(206, 44, 36), vector(24, 92, 210), vector(236, 226, 208)
Shader = Callable[[Array, Array], Array]  # surface coordinates (scene units) -> colour, last axis RGB, 0..255


class Surface(Protocol):
    """A surface to draw on: scene coordinates x and y of each pixel, (T, H, W), and pixels per scene unit."""

    x: Array
    y: Array
    scale: float

    def box(self, points: Array, margin: float) -> tuple[slice, slice, slice]:
        """Pixels that scene points (T, n, 2) and `margin` units around them can touch in any frame."""
        ...


class Camera:
    """Held by a steady hand: smooth translation, rotation and zoom of the whole scene, one similarity per frame."""

    def __init__(self, rng: np.random.Generator, frames: int, width: int, height: int) -> None:
        angle, zoom = wander(rng, frames, 0.0018), 1 + wander(rng, frames, 0.0015)
        tremor = rng.normal(0, 0.08, (frames, 2))
        shift = np.stack([wander(rng, frames, 0.33), wander(rng, frames, 0.27)], 1) + tremor
        self.scale = min(width / 128, height / 96)
        c, s = np.cos(angle) * zoom, np.sin(angle) * zoom
        self.to_frame = (self.scale * np.array([[c, -s], [s, c]]).transpose(2, 0, 1)).astype(np.float32)  # (T, 2, 2)
        self.offset = (np.array([width - 1, height - 1]) / 2 + self.scale * shift).astype(np.float32)  # (T, 2)
        y, x = np.mgrid[:height, :width].astype(np.float32)
        back = np.linalg.inv(self.to_frame)
        dx, dy = x - self.offset[:, 0, None, None], y - self.offset[:, 1, None, None]
        self.x = back[:, 0, 0, None, None] * dx + back[:, 0, 1, None, None] * dy  # scene x of each pixel, (T, H, W)
        self.y = back[:, 1, 0, None, None] * dx + back[:, 1, 1, None, None] * dy

    def box(self, points: Array, margin: float) -> tuple[slice, slice, slice]:
        """Pixels that scene points (T, n, 2) and `margin` units around them can touch in any frame."""
        seen = np.einsum("tij,tnj->tni", self.to_frame, points) + self.offset[:, None]
        low = np.floor(seen.min((0, 1)) - margin * self.scale * 1.1).astype(int)
        high = np.ceil(seen.max((0, 1)) + margin * self.scale * 1.1).astype(int) + 1
        height, width = self.x.shape[1:]
        return slice(None), slice(*np.clip([low[1], high[1]], 0, height)), slice(*np.clip([low[0], high[0]], 0, width))


def over(image: Array, at: tuple[slice, slice, slice], distance: Array, colour: Array, scale: float) -> None:
    """Paint `colour` where the signed `distance` (scene units) is negative, with a soft edge about a pixel wide."""
    alpha = np.clip(0.5 - distance * (scale / 1.3), 0, 1)[..., None]
    part = image[at]
    part += alpha * (colour - part)


def noise_texture(rng: np.random.Generator, height: int, width: int, octaves: tuple[int, ...]) -> Array:
    """Sum of smooth random fields with cells of the given sizes (pixels): (height, width), about -1..1."""
    total = np.zeros((height, width), np.float32)
    for cell in octaves:
        grid = rng.uniform(-1, 1, (height // cell + 2, width // cell + 2)).astype(np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return total / np.float32(np.sqrt(len(octaves)))


def sample(texture: Array, x: Array, y: Array) -> Array:
    """Bilinear look-up of a wrapped texture at (T, h, w) coordinates in texture pixels."""
    flat = (-1, x.shape[-1])
    x2, y2 = x.astype(np.float32).reshape(flat), y.astype(np.float32).reshape(flat)
    value = np.asarray(cv2.remap(texture, x2, y2, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32)
    return value.reshape(*x.shape, *texture.shape[2:])


def cloth_shader(actor: Actor, grain: Array) -> Shader:
    """The actor's pattern (stripes along, stripes across, checks, plain) with a woven grain, fixed to the garment."""

    def shade(along: Array, across: Array) -> Array:
        stripes = [np.sin(along * 1.3), np.sin(across * 1.5), np.sin(along * 1.1) * np.sin(across * 1.1), along * 0]
        mix = np.clip(0.5 + 1.2 * stripes[actor.pattern], 0, 1)[..., None] * (0.0 if actor.pattern == 3 else 0.8)
        fibre = 1 + 0.16 * sample(grain, along * 2 + 200, across * 2 + 200)[..., None]
        return (actor.cloth + mix * (actor.trim - actor.cloth)) * fibre

    return shade


def skin_shader(actor: Actor, grain: Array) -> Shader:
    """Skin with slight blotches."""

    def shade(along: Array, across: Array) -> Array:
        return actor.skin * (1 + 0.07 * sample(grain, along * 2 + 100, across * 2 + 100)[..., None])

    return shade


def draw_held(image: Array, camera: Surface, grip: Array, size: float, body: Pose) -> None:
    """What the acting hand holds at `grip`, (T, 2), upright above it.

    A red folder with a pale round label, or a blue notebook with a pale band.
    """
    wide, tall = 6 * size, 8 * size  # from the middle to the edges
    middle = grip - vector(0, 0.7 * tall)
    at = camera.box(middle[:, None], tall + 1)
    x, y = camera.x[at] - middle[:, 0, None, None], camera.y[at] - middle[:, 1, None, None]
    edges = np.maximum(np.abs(x) - wide, np.abs(y) - tall)
    label = 2.2 * size - np.hypot(x / 1.6, y + 0.4 * tall)
    band = size - np.abs(y + 0.45 * tall)
    light = 1.04 - 0.06 * x / wide - 0.1 * y / tall
    for held, cover, pale in ((body.folder, FOLDER, label), (body.notebook, NOTEBOOK, band)):
        if held.any():
            distance = np.where(held[:, None, None], edges, np.inf)
            colour = cover + np.clip(pale, 0, 1)[..., None] * (PAPER - cover)
            over(image, at, distance, colour * light[..., None], camera.scale)


@lru_cache(maxsize=16)  # an actor has one room in all clips
def draw_room(actor: int, seed: int, seen: int) -> Array:
    """The actor's own room, out of focus: a wall with a few pieces of furniture.

    `seen` texture pixels per scene unit: (height, width, 3), 0..255, read-only.
    """
    rng = np.random.default_rng([seed, ROOM_TAG, actor])
    width, height = 190 * seen, 150 * seen
    wall = hue(rng.uniform(0, 180), rng.uniform(10, 70), rng.uniform(130, 215))
    paper = noise_texture(rng, height, width, (60 * seen, 16 * seen, 5 * seen, 2 * seen))
    room = wall * (1 + 0.11 * paper[..., None])

    def block(x: float, y: float, w: float, h: float, colour: Array, edge: float = 0.6) -> None:
        a, b = (round(x * seen), round(y * seen)), (round((x + w) * seen), round((y + h) * seen))
        cv2.rectangle(room, a, b, (colour * 0.45).tolist(), -1)
        inset = round(edge * seen)
        cv2.rectangle(room, (a[0] + inset, a[1] + inset), (b[0] - inset, b[1] - inset), colour.tolist(), -1)

    def any_colour(low: float = 60, high: float = 220) -> Array:
        return hue(rng.uniform(0, 180), rng.uniform(30, 110), rng.uniform(low, high))

    shelf_x, picture_x = (15.0, 118.0) if rng.random() < 0.5 else (122.0, 25.0)
    shelf_x += rng.uniform(-6, 6)
    wood = hue(rng.uniform(8, 18), rng.uniform(80, 160), rng.uniform(70, 150))
    for y in np.arange(rng.uniform(12, 24), 140, 25):
        block(shelf_x, y, 48, 25, wood, 1.5)
        x = shelf_x + 2
        while x < shelf_x + 42:
            w, h = rng.uniform(2, 5), rng.uniform(13, 21)
            block(x, y + 23.5 - h, w, h, any_colour(), 0.4)
            x += w + 0.3
    for _ in range(rng.integers(2, 4)):
        w, h = rng.uniform(14, 26, 2)
        x, y = picture_x + rng.uniform(-8, 16), rng.uniform(26, 90)
        block(x, y, w, h, vector(235, 230, 220), 1.0)
        block(x + 2.5, y + 2.5, w - 5, h - 5, any_colour(), 0.4)
        block(x + w * 0.3, y + h * 0.45, w * 0.35, h * 0.3, any_colour(), 0.4)
    blurred = np.asarray(cv2.GaussianBlur(room, (0, 0), 2 * seen), np.float32)
    blurred.setflags(write=False)
    return blurred


def draw_limb(
    image: Array, camera: Surface, ends: tuple[Array, Array], radii: tuple[float, float], shader: Shader, out: float
) -> None:
    """A tapered, shaded limb between two moving joints, (T, 2) each; `out` mirrors its surface coordinates."""
    (start, end), (r0, r1) = ends, radii
    at = camera.box(np.stack([start, end], 1), max(radii) + 1)
    x, y = camera.x[at] - start[:, 0, None, None], camera.y[at] - start[:, 1, None, None]
    line = end - start
    length = np.linalg.norm(line, axis=1)[:, None, None]
    ux, uy = line[:, 0, None, None] / length, line[:, 1, None, None] / length
    along, across = x * ux + y * uy, y * ux - x * uy
    inside = np.clip(along, 0, length)
    radius = r0 + (r1 - r0) * inside / length
    distance = np.hypot(along - inside, across) - radius
    light = 1.02 - 0.3 * np.clip(across / radius * out, -1, 1) ** 2 - 0.1 * across / radius * uy
    over(image, at, distance, shader(along, across * out) * light[..., None], camera.scale)


def draw_torso(image: Array, camera: Surface, body: Pose, actor: Actor, cloth: Shader, skin: Shader) -> None:
    """Neck, shoulders and chest as one outline, given by half the width at each height, leaning about the base."""
    size, wide = actor.size, actor.shoulder
    heights = vector(0, 22, 36, 42, 44.5, 46.5, 48.5, 51, 58)  # above the base
    widths = vector(wide - 3.5, wide - 3, wide - 1, wide, wide - 2.5, wide * 0.6, wide * 0.32, 4.4, 4.2)
    corners = np.array([[-wide - 8, 4], [wide + 8, 4], [-wide - 8, -62], [wide + 8, -62]], np.float32) * size
    at = camera.box(body.base[:, None] + corners, 2)
    x, y = camera.x[at] - body.base[:, 0, None, None], camera.y[at] - body.base[:, 1, None, None]
    c, s = np.cos(body.lean)[:, None, None], np.sin(body.lean)[:, None, None]
    up = (s * x - c * y) / size
    side = (c * x + s * y) / size - body.twist[:, None, None] * np.clip(up / 44, 0, 1)
    half = np.interp(up, heights, widths).astype(np.float32)
    slope = np.interp(up, heights, np.gradient(widths, heights)).astype(np.float32)
    distance = size * np.maximum((np.abs(side) - half) / np.sqrt(1 + slope**2), up - 57)
    shirt = cloth(up - 30, side)
    bare = np.clip((up - 47.5) + np.clip(3.5 - np.abs(side), -9, 3.5) * 1.1, 0, 1)[..., None]
    colour = shirt + bare * (skin(up, side) * 0.86 - shirt)
    light = 1.04 - 0.28 * (side / np.maximum(half, 4)) ** 2 - 0.004 * side - 0.12 * np.clip(up - 48, 0, 6) / 6
    over(image, at, distance, colour * light[..., None], camera.scale)


def draw_head(image: Array, camera: Surface, centre: Array, body: Pose, actor: Actor, grain: Array) -> None:
    """An ellipsoid with hair and a face, truly turned: each pixel's surface point is rotated back onto the model."""
    a, b = actor.head[0] * actor.size, actor.head[1] * actor.size
    at = camera.box(centre[:, None], b + 4)
    c, s = np.cos(body.lean)[:, None, None], np.sin(body.lean)[:, None, None]
    dx, dy = camera.x[at] - centre[:, 0, None, None], camera.y[at] - centre[:, 1, None, None]
    x, y = (c * dx + s * dy) / a, (c * dy - s * dx) / b
    x = x * (1 + 0.12 * np.clip(y, 0, 1))  # a narrower chin
    radius = np.sqrt(x * x + y * y)
    z = np.sqrt(np.clip(1 - radius**2, 0, 1))
    cy, sy = np.cos(body.yaw)[:, None, None], np.sin(body.yaw)[:, None, None]
    cp, sp = np.cos(body.pitch)[:, None, None], np.sin(body.pitch)[:, None, None]
    y, front = y * cp - z * sp, y * sp + z * cp  # undo the nod, then the turn
    x, z = x * cy - front * sy, x * sy + front * cy
    colour = actor.skin * (1 + 0.05 * sample(grain, x * 20 + 100, y * 20 + 100)[..., None])

    def mark(u: float, v: float, w: float, h: float, tint: Array, hard: float = 2.5) -> None:
        nonlocal colour
        alpha = np.clip(hard * (1 - np.hypot((x - u) / w, (y - v) / h)), 0, 1) * (z > 0)
        colour = colour + alpha[..., None] * (tint - colour)

    for eye in (-0.38, 0.38):
        mark(eye, -0.08, 0.2, 0.11, vector(240, 240, 240))
        mark(eye, -0.08, 0.1, 0.1, vector(25, 20, 20))
        mark(eye, -0.27, 0.25, 0.07, actor.hair * 0.6)
    mark(0, 0.2, 0.13, 0.22, actor.skin * 0.78, 1.2)
    mark(0, 0.52, 0.3, 0.09, vector(150, 60, 60))
    back = np.maximum(
        actor.hairline - y + 0.25 * np.abs(x), (0.25 if actor.long_hair else 0.1) - z - 4 * np.clip(y, 0, 1)
    )
    strands = actor.hair * (1 + 0.3 * sample(grain, x * 40 + 200, y * 12 + 200)[..., None])
    colour = colour + np.clip(back * 7 + 0.5, 0, 1)[..., None] * (strands - colour)
    light = 1.05 - 0.22 * np.clip(radius, 0, 1) ** 2 - 0.06 * dx / a
    over(image, at, (radius - 1) * (a + b) / 2, colour * light[..., None], camera.scale)


def axes(body: Pose, person: Actor) -> tuple[Array, Array]:
    """The body's own directions, up and to the image's right, as long as a unit of its size: (T, 2) each."""
    up = np.stack([np.sin(body.lean), -np.cos(body.lean)], 1) * person.size
    right = np.stack([np.cos(body.lean), np.sin(body.lean)], 1) * person.size
    return up, right


def head_centre(body: Pose, person: Actor) -> Array:
    """The middle of the head, (T, 2)."""
    up, right = axes(body, person)
    twist = body.twist[:, None] * right
    nod = np.stack([2.5 * np.sin(body.yaw), 3.5 * np.sin(body.pitch)], 1)
    return body.base + (53.5 + person.head[1] * 0.75) * up + twist + nod * person.size


def arm_joints(body: Pose, person: Actor, side: int) -> tuple[Array, Array, Array]:
    """Shoulder, elbow and wrist of the left (0) or right (1) arm of the image, (T, 2) each."""
    up, right = axes(body, person)
    out = (-1.0, 1.0)[side]
    shoulder = body.base + 42.5 * up + out * (person.shoulder - 3) * right + body.twist[:, None] * right
    return shoulder, *elbow(shoulder, body.hands[side], 18.5 * person.size, 16 * person.size, out)


def draw_hand(
    image: Array, camera: Surface, forearm: tuple[Array, Array], size: float, skin: Shader, out: float
) -> Array:
    """A hand with its thumb at the end of the forearm, elbow to wrist; returns where it grips, (T, 2)."""
    bend, wrist = forearm
    ahead = (wrist - bend) / (16 * size)
    draw_limb(image, camera, (wrist + ahead, wrist + 4.0 * size * ahead), (2.3 * size, 2.6 * size), skin, out)
    thumb = wrist + 2.2 * ahead * size - out * 2.2 * size * np.stack([-ahead[:, 1], ahead[:, 0]], 1)
    draw_limb(image, camera, (wrist + ahead, thumb), (1.1 * size, 0.9 * size), skin, out)
    return wrist + 4 * size * ahead


def draw_clip(label: str, actor: int, number: int, clip_format: DemoFormat | None = None) -> NDArray[np.uint8]:
    """One clip, RGB uint8 (frames, height, width, 3); deterministic. Raises ValueError for an unknown label."""
    f = clip_format or DemoFormat()
    frames, width, height, seed = f.frames, f.width, f.height, f.seed
    person = Actor.cast(actor, seed)
    body = pose(label, person, number, frames, seed, f.onset)
    rng = clip_rng(number, seed, 2)
    camera = Camera(rng, frames, width, height)
    grain = noise_texture(rng, 400, 400, (3, 6, 12))
    seen = 2
    room = draw_room(actor, seed, seen)
    pan = rng.uniform(-3, 3), rng.uniform(-2, 2)
    image = sample(room, (camera.x + 95 + pan[0]) * seen, (camera.y + 75 + pan[1]) * seen)
    cloth, skin = cloth_shader(person, grain), skin_shader(person, grain)

    size = person.size
    draw_torso(image, camera, body, person, cloth, skin)
    draw_head(image, camera, head_centre(body, person), body, person, grain)

    wood = hue(rng.uniform(6, 20), rng.uniform(60, 150), rng.uniform(90, 190))
    desk = rng.uniform(41, 45)
    at = camera.box(np.array([[[-90, desk], [90, 60]]] * frames, np.float32), 3)
    x, y = camera.x[at], camera.y[at]
    planks = wood * (1 + 0.2 * sample(grain, x * 0.7 + 200, y * 4)[..., None])
    over(image, at, desk - y, planks * (0.75 + 0.25 * np.clip(np.abs(y - desk - 0.8), 0, 1))[..., None], camera.scale)

    for side, out in enumerate((-1.0, 1.0)):
        shoulder, bend, wrist = arm_joints(body, person, side)
        draw_limb(image, camera, (shoulder, bend), (4.6 * size, 3.7 * size), cloth, out)
        draw_limb(image, camera, (bend, wrist), (3.6 * size, 2.5 * size), cloth, out)
        grip = draw_hand(image, camera, (bend, wrist), size, skin, out)
        if side == body.side:
            draw_held(image, camera, grip, size, body)
    return develop(image, rng)


def develop(image: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light that drifts in strength, colour and direction, then sensor noise, then 8 bits."""
    frames, _, width, _ = image.shape
    strength, slope = 1 + wander(rng, frames, 0.03), rng.uniform(-0.12, 0.12) + wander(rng, frames, 0.02)
    tint = np.stack([wander(rng, frames, 0.008) for _ in range(3)], 1)
    image *= (strength[:, None] + tint)[:, None, None]
    image *= 1 + slope[:, None, None, None] * np.linspace(-1, 1, width, dtype=np.float32)[:, None]
    image += 2.5 * rng.standard_normal(image.shape, np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
