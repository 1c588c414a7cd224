"""Demo data set: seven drawn micro actions that differ only in motion, two pairs of them only in its temporal order.

An articulated upper body at a desk is seen by a hand-held camera. Everything about a clip but its label (room, rest
posture, acting side, tempo, idle movement, camera, light, sensor noise) is drawn from the seed and the clip's number
alone, so one frame says nothing about the class: rest postures vary by more than the action moves. `PLAN` holds the
sub-motions of each class and their times; passing / receiving and pointing / gesture are the same two sub-motions in
opposite order.
"""

from stp.datasets.demo.clip_format import DemoFormat
from stp.datasets.demo.drawing import draw_clip
from stp.datasets.demo.files import find_clips, generate
from stp.datasets.demo.movement import CLASSES, PLAN

__all__ = ["CLASSES", "PLAN", "DemoFormat", "draw_clip", "find_clips", "generate"]
