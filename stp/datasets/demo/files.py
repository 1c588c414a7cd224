"""The demo data set as video files: CLASS/CLASS_aACTOR_NNN.mp4."""

import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stp.data.index import Clip
from stp.datasets import folder as folder_importer
from stp.datasets.demo.clip_format import DemoFormat
from stp.datasets.demo.drawing import draw_clip
from stp.datasets.demo.movement import CLASSES
from stp.errors import UserError
from stp.video.writing import Encoder, choose_encoder, video_writer

Draw = Callable[[str, int, int, DemoFormat], NDArray[np.uint8]]  # label, actor, number, format -> RGB (T, H, W, 3)
NAME = re.compile(rf"(?P<label>{'|'.join(CLASSES)})/(?P=label)_a\d+_\d+")


@dataclass(frozen=True)
class _Job:
    """A clip to be drawn."""

    clip: Clip
    actor: int
    number: int


def _make(job: _Job, clip_format: DemoFormat, encoder: Encoder, draw: Draw) -> None:
    f = clip_format
    drawn = draw(job.clip.label, job.actor, job.number, f)
    with video_writer(Path(job.clip.path), f.width, f.height, f.rate, f.frames, encoder) as video:
        for frame in drawn:
            video.write(frame)


def generate(
    folder: Path,
    clips_per_class: int,
    actors: int = 6,
    clip_format: DemoFormat | None = None,
    threads: int = 1,
    draw: Draw = draw_clip,
) -> list[Clip]:
    """Write `folder`/CLASS/CLASS_aACTOR_NNN.mp4 and return the clips by class, then number; the actor is the group.

    Take n of class c is clip number 7 n + c, played by actor n modulo `actors`: every actor plays every class equally
    often, and asking for more clips leaves the earlier ones as they were. `threads` processes share the work; the files
    do not depend on it. With `draw_first_person` to draw them, the files show what the actors see in the same clips.

    Raises:
        UserError: PyAV lacks the encoders.
        OSError: a video cannot be written.
    """
    jobs = []
    clip_format = clip_format or DemoFormat()
    for c, label in enumerate(CLASSES):
        for take in range(clips_per_class):
            group = f"a{take % actors:02d}"
            name = f"{label}/{label}_{group}_{take:03d}"
            clip = Clip(name, str(folder / f"{name}.mp4"), label, group, frames=clip_format.frames)
            jobs.append(_Job(clip, take % actors, len(CLASSES) * take + c))
    make = partial(_make, clip_format=clip_format, encoder=choose_encoder(), draw=draw)
    if threads == 1:
        for job in jobs:
            make(job)
    else:
        spawn = get_context("spawn")  # a fork would inherit the locks of the caller's threads
        with ProcessPoolExecutor(threads, spawn, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
            for _ in pool.map(make, jobs, chunksize=4):
                pass  # a job's error is raised here
    return [job.clip for job in jobs]


def find_clips(folder: Path) -> list[Clip]:
    """Clips of a generated folder, by class in the paper's order, then number; the actor in the name is the group."""
    clips = folder_importer.find_clips(folder)
    for clip in clips:
        if not NAME.fullmatch(clip.clip):
            raise UserError(f"dataset.importer: '{clip.path}' is none of the demo's videos; use 'folder' for your own")
    clips.sort(key=lambda clip: (CLASSES.index(clip.label), clip.clip.rsplit("_", 1)[1]))
    return [replace(clip, group=clip.clip.rsplit("_", 2)[1]) for clip in clips]
