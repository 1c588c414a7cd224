"""The demo data set as video files: CLASS/CLASS_aACTOR_NNN.mp4."""

import os
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stp.data.index import Clip
from stp.datasets import folder as folder_importer
from stp.datasets.demo.drawing import draw_clip
from stp.datasets.demo.movement import CLASSES
from stp.errors import UserError

NAME = re.compile(rf"(?P<label>{'|'.join(CLASSES)})/(?P=label)_a\d+_\d+")


def write_video(path: Path, frames: NDArray[np.uint8], fps: int) -> None:
    """Write RGB uint8 frames (T, H, W, 3) as MPEG-4; `path` appears only when complete. Raises OSError if it cannot."""
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    writer = cv2.VideoWriter(str(part), cv2.VideoWriter.fourcc(*"mp4v"), fps, (frames.shape[2], frames.shape[1]))
    if not writer.isOpened():
        raise OSError(f"{path}: OpenCV cannot write MPEG-4 video here")
    for frame in frames:
        writer.write(frame[..., ::-1].copy())
    writer.release()  # reports no error, so count what can be read back
    if cv2.VideoCapture(str(part)).get(cv2.CAP_PROP_FRAME_COUNT) != len(frames):
        raise OSError(f"{part}: not all frames were written; is the disk full?")
    os.replace(part, path)


def _make(job: tuple[Clip, int, int], frames: int, width: int, height: int, fps: int, seed: int) -> None:
    clip, actor, number = job
    write_video(Path(clip.path), draw_clip(clip.label, actor, number, frames, width, height, seed), fps)


def generate(
    folder: Path,
    clips_per_class: int,
    frames: int = 24,
    width: int = 128,
    height: int = 96,
    actors: int = 6,
    fps: int = 25,
    seed: int = 0,
    threads: int = 1,
) -> list[Clip]:
    """Write `folder`/CLASS/CLASS_aACTOR_NNN.mp4 and return the clips by class, then number; the actor is the group.

    Take n of class c is clip number 7 n + c, played by actor n modulo `actors`: every actor plays every class equally
    often, and asking for more clips leaves the earlier ones as they were. `threads` processes share the work; the files
    do not depend on it. Raises UserError for sizes out of range.
    """
    if frames < 12:
        raise UserError(f"demo.frames: {frames} is too short for an action; give 12 or more")
    if width % 2 or height % 2:
        raise UserError(
            f"demo.width, demo.height: {width} x {height}: MPEG-4 needs even numbers; add one to the odd one"
        )
    jobs = []
    for c, label in enumerate(CLASSES):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for take in range(clips_per_class):
            group = f"a{take % actors:02d}"
            name = f"{label}/{label}_{group}_{take:03d}"
            clip = Clip(name, str(folder / f"{name}.mp4"), label, group, frames=frames)
            jobs.append((clip, take % actors, len(CLASSES) * take + c))
    make = partial(_make, frames=frames, width=width, height=height, fps=fps, seed=seed)
    if threads == 1:
        for job in jobs:
            make(job)
    else:
        spawn = get_context("spawn")  # a fork would inherit the locks of the caller's threads
        with ProcessPoolExecutor(threads, spawn, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
            list(pool.map(make, jobs, chunksize=4))
    return [clip for clip, _, _ in jobs]


def find_clips(folder: Path) -> list[Clip]:
    """Clips of a generated folder, by class in the paper's order, then number; the actor in the name is the group."""
    clips = folder_importer.find_clips(folder)
    for clip in clips:
        if not NAME.fullmatch(clip.clip):
            raise UserError(f"dataset.importer: '{clip.path}' is none of the demo's videos; use 'folder' for your own")
    clips.sort(key=lambda clip: (CLASSES.index(clip.label), clip.clip.rsplit("_", 1)[1]))
    return [replace(clip, group=clip.clip.rsplit("_", 2)[1]) for clip in clips]
