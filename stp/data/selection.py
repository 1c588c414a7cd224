"""Clips that a user names, and their stored fields by modality."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from stp.data.index import Clip, Index
from stp.data.shards import ClipFields, shard_modality
from stp.errors import UserError


def chosen_clips(index: Index, names: Sequence[str], source: str) -> dict[str, Clip]:
    """The clips of these ids, under the names of their files: `a/b` is `a__b`; UserError for unknown or equal ones."""
    known = {clip.clip: clip for clip in index.clips}
    chosen: dict[str, Clip] = {}
    for name in dict.fromkeys(names):
        if name not in known:
            similar = difflib.get_close_matches(name, known, n=3) or list(known)[:3]
            raise UserError(f"clip '{name}' is not in {source}; clips are called as {', '.join(similar)}")
        file = name.replace("/", "__")
        if file in chosen:
            raise UserError(
                f"clips '{chosen[file].clip}' and '{name}' would both be written to {file}; give one of them"
            )
        chosen[file] = known[name]
    return chosen


def fields_by_modality(shards: Sequence[Path]) -> dict[str, ClipFields]:
    """The fields of every modality in the shards, in whatever order they are given."""
    kinds: dict[str, list[Path]] = {}
    for shard in shards:
        kinds.setdefault(shard_modality(shard), []).append(shard)
    return {modality: ClipFields(sorted(paths)) for modality, paths in kinds.items()}


def clip_fields(fields: Mapping[str, ClipFields], modality: str, clip: str) -> ClipFields:
    """The fields of a modality, which hold the clip in the size of its RGB frames; UserError if they do not."""
    for name in ("rgb", modality):
        if name not in fields:
            raise UserError(f"no shards of '{name}', which clip '{clip}' needs; make them, or name them with --clips")
    size, frame_size = fields[modality][clip].shape[2:], fields["rgb"][clip].shape[2:]
    if size != frame_size:
        raise UserError(f"clip '{clip}': {modality} is of size {size}, but frames of {frame_size}; give those it is of")
    return fields[modality]
