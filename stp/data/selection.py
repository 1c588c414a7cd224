"""Clips that a user names by their ids, and their stored fields by modality."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from stp.data.index import Clip, Index
from stp.data.shards import ClipFields, shard_modality
from stp.errors import UserError
from stp.system.files import clip_file_name

EXPLAINED_WORDS = ("own", "predicted")  # values of explain.class that are no class


def check_named(named: Mapping[str, Sequence[str]], clips: Sequence[Clip]) -> None:
    """Raise UserError for names in a config that are not those of the data set's clips and classes.

    `named` holds, by their keys, the ids of `explain.clips` and `examples.clips`, and the words of `explain.class`.
    """
    ids, labels = [clip.clip for clip in clips], list(dict.fromkeys(clip.label for clip in clips if clip.label))
    for key, names in named.items():
        known, kind = (labels, "class") if key.endswith(".class") else (ids, "clip")
        words = EXPLAINED_WORDS if key.endswith(".class") else ()
        for name in set(names) - {*known, *words}:
            similar = difflib.get_close_matches(name, known, n=3)
            hint = f"did you mean {' or '.join(similar)}?" if similar else f"there are {', '.join(known[:3])}, ..."
            raise UserError(f"config: {key}: '{name}' is no {kind} of the data set; {hint}")
    if "own" in named.get("explain.class", ()):
        hidden = {clip.clip for clip in clips if not clip.label} & set(named.get("explain.clips", ()))
        if hidden:
            raise UserError(
                f"config: explain.class: own, but the label of '{min(hidden)}' is hidden; give predicted or a class"
            )


def chosen_clips(index: Index, names: Sequence[str], source: str) -> dict[str, Clip]:
    """The clips of these ids, by the names of the files to write (`clip_file_name`): `a/b` becomes `a__b`.

    Raises:
        UserError: an id is unknown (`source` is where ids are from), or two clips would have the same file name.
    """
    known = {clip.clip: clip for clip in index.clips}
    chosen: dict[str, Clip] = {}
    for name in dict.fromkeys(names):
        if name not in known:
            similar = difflib.get_close_matches(name, known, n=3) or list(known)[:3]
            raise UserError(f"clip '{name}' is not in {source}; clips are called as {', '.join(similar)}")
        file = clip_file_name(name)
        if file in chosen:
            raise UserError(
                f"clips '{chosen[file].clip}' and '{name}' would both be written to {file}; give one of them"
            )
        chosen[file] = known[name]
    return chosen


def picked_clips(index: Index, seen: Collection[str], number: int, seed: int) -> list[Clip]:
    """A random clip of each of `number` random classes that is not among the clips `seen`, in the order of classes.

    Classes all of whose clips were seen are left out, as are clips with hidden labels.
    """
    unseen: dict[str, list[Clip]] = {}
    for clip in index.clips:
        if clip.label and clip.clip not in seen:
            unseen.setdefault(clip.label, []).append(clip)
    rng = np.random.default_rng(seed)
    classes = [unseen[label] for label in index.classes if label in unseen]
    chosen = sorted(rng.choice(len(classes), min(number, len(classes)), replace=False)) if classes else []
    return [classes[i][rng.integers(len(classes[i]))] for i in chosen]


def fields_by_modality(shards: Sequence[Path]) -> dict[str, ClipFields]:
    """The fields of every modality in the shards, which may be in any order."""
    kinds: dict[str, list[Path]] = {}
    for shard in shards:
        kinds.setdefault(shard_modality(shard), []).append(shard)
    return {modality: ClipFields(sorted(paths)) for modality, paths in kinds.items()}


def clip_fields(fields: Mapping[str, ClipFields], modality: str, clip: str) -> ClipFields:
    """The fields of a modality; UserError unless they and RGB hold the clip, in the same height and width."""
    for name in ("rgb", modality):
        if name not in fields:
            raise UserError(f"no shards of '{name}', which clip '{clip}' needs; make them, or name them with --clips")
    size, frame_size = fields[modality].shape(clip)[2:], fields["rgb"].shape(clip)[2:]
    if size != frame_size:
        raise UserError(f"clip '{clip}': {modality} has size {size}, frames have {frame_size}; give its own frames")
    return fields[modality]
