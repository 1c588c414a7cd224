"""Demo data set: seven drawn micro actions, most of which differ only in motion, and two pairs only in its order.

An articulated upper body at a desk is seen by a steady hand-held camera, each actor in a room of his own. Everything
about a clip but its label (rest posture, acting side, tempo, idle movement, camera, light, sensor noise) is drawn from
the seed and the clip's number alone, and rest postures vary by more than the action moves: one frame says little about
the class, but for a folder that is passed or received, and a notebook that is taken up to point and laid down for a
gesture. `PLAN` holds the sub-motions of each class and their times. Passing and receiving are two sub-motions in
opposite order, and the folder changes hands halfway, which halves of the clip tell apart. Pointing and gesture are two
sub-motions out and back, and the notebook is held for half of each half, so that only quarters tell them apart.

`draw_first_person` shows the same clips as the actors see them, from the other side of the desk.
"""

from stp.datasets.demo.clip_format import DemoFormat
from stp.datasets.demo.drawing import draw_clip
from stp.datasets.demo.files import find_clips, generate
from stp.datasets.demo.first_person import draw_first_person
from stp.datasets.demo.movement import CLASSES, PLAN

__all__ = ["CLASSES", "PLAN", "DemoFormat", "draw_clip", "draw_first_person", "find_clips", "generate"]
