"""Flow of any videos and folders of frames, in files of a chosen format; resumable."""

import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stp.errors import UserError
from stp.extraction.engine import WriteChunk, write_flow
from stp.extraction.pairs import FlowSettings
from stp.extraction.recipe import shard_parameters
from stp.extraction.writers import FORMATS, Append, FlowFile, write_chunks
from stp.system.files import complete_file
from stp.system.gpu_slots import one_at_a_time
from stp.system.machine import check_room
from stp.system.progress import progress
from stp.system.tables import read_text
from stp.system.versions import versions
from stp.video.clip import GreyClip
from stp.video.sources import Source, examine_all, grey_clip

log = logging.getLogger(__name__)

LATER_OPTIONS = {"fps": "native"}  # what holds for a flow.json of a version that had no such option


@dataclass(frozen=True)
class FlowFolder:
    """A folder of flow: OUT/of/NAME.ext, warped flow in OUT/wof/NAME.ext, and OUT/flow.json on how it was made."""

    path: Path
    format: str
    bound: float  # pixels that map to the ends of 0..255, or to full colour
    size: tuple[int, int] | None  # width and height of the frames; None: each source's own
    settings: FlowSettings  # with the backend resolved
    fps: float | None = None  # frames per second; None: each source's own

    @property
    def modalities(self) -> tuple[str, ...]:
        return ("of", "wof") if self.settings.detector else ("of",)

    def output(self, modality: str, name: str) -> Path:
        """Where a clip's flow or warped flow lies."""
        return self.path / modality / f"{name}{FORMATS[self.format].suffix}"

    def is_complete(self, name: str) -> bool:
        """True if all files of a clip are there: files appear only when they are complete."""
        return all(self.output(modality, name).exists() for modality in self.modalities)

    def options(self) -> dict[str, Any]:
        """Everything that the content of the files depends on, by the names of the command line's options."""
        settings = self.settings
        return {
            "format": self.format,
            "warped": settings.detector is not None,
            "bound": None if self.format == "npy" else self.bound,
            "size": "x".join(map(str, self.size)) if self.size else "own",
            "backend": settings.backend,
            "semantics": settings.tvl1.semantics,
            "detector": settings.detector,
            "step": settings.step,
            "fps": self.fps or "native",
        }


def claim(folder: FlowFolder, sources: Sequence[Source]) -> dict[str, str]:
    """The sources in the folder's flow.json, by name, after a check that the folder is for these sources.

    Raises:
        UserError: the folder was made with other options or of other sources, or holds files of other origin.
    """
    _, known = _read_report(folder)
    for source in sources:
        if known.get(source.name, _location(source)) != _location(source):
            raise UserError(
                f"'{source.path}' and '{known[source.name]}', of which '{folder.path}' has the flow, are both named "
                f"'{source.name}'; rename one of them or choose another output folder"
            )
        for modality in folder.modalities:
            output = folder.output(modality, source.name)
            if output.exists() and source.name not in known:
                raise UserError(f"'{output}' exists but was not made by stp flow; choose another output folder")
    return known


def _read_report(folder: FlowFolder) -> tuple[dict[str, str], dict[str, str]]:
    """The versions and the sources in flow.json, by name, after its options are compared with the folder's.

    Without a flow.json, there are no sources, and the versions are those of now.
    """
    path = folder.path / "flow.json"
    if folder.path.exists() and not folder.path.is_dir():
        raise UserError(f"--output: '{folder.path}' is a file; name a folder")
    if not path.exists():
        return versions(), {}
    try:
        report = json.loads(read_text(path))
        before, made_by, known = (dict(report[key]) for key in ("options", "versions", "sources"))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{path}: is no report of stp flow; move it away or choose another output folder") from None
    for key, value in folder.options().items():
        if before.get(key, LATER_OPTIONS.get(key)) != value:
            raise UserError(
                f"--{key}: {value}, but '{folder.path}' was made with {before.get(key)}; "
                "repeat the former value or choose another output folder"
            )
    return made_by, known


def _report_other_versions(folder: FlowFolder) -> None:
    """Log a warning if the folder was made with other versions."""
    made_by, _ = _read_report(folder)
    changed = [f"{name} {made_by.get(name)} -> {now}" for name, now in versions().items() if made_by.get(name) != now]
    if changed:
        log.warning("%s was made with other versions: %s", folder.path, ", ".join(changed))


def _location(source: Source) -> str:
    return str(source.path.resolve())


def clips_with_flow(
    sources: Sequence[Source], folder: FlowFolder, threads: int
) -> tuple[list[tuple[Source, GreyClip]], list[str]]:
    """Decode sources to their end: the clips that have flow, and path and reason for each of the others."""
    readable, bad = examine_all(sources, threads)
    step, good = folder.settings.step, []
    for source, facts in readable:
        clip = grey_clip(source, facts, folder.size, folder.fps)
        if clip.frames > step:
            good.append((source, clip))
        else:
            bad.append(f"{source.path}: {clip.frames} frames; flow of step {step} needs {step + 1} or more")
    return good, bad


def make_flow(sources: Sequence[Source], folder: FlowFolder, threads: int) -> None:
    """Compute the flow of sources into a folder; what is complete there stays as it is.

    Raises:
        UserError: an error of `claim`; a disk that is too small; or, at the end, the number of sources that cannot be
            read.
    """
    claim(folder, sources)
    _report_other_versions(folder)
    missing = [source for source in sources if not folder.is_complete(source.name)]
    if len(missing) < len(sources):
        log.info("%d of %d sources are complete and skipped", len(sources) - len(missing), len(sources))
    good, bad = clips_with_flow(missing, folder, threads)
    for reason in bad:
        log.warning("skipped %s", reason)
    if good:
        check_flow_room([clip for _, clip in good], folder)
        add_sources(folder, [source for source, _ in good])
        compute([clip for _, clip in good], folder, threads)
    if bad:
        raise UserError(f"{len(bad)} of {len(sources)} sources cannot be used and were skipped; the reasons are above")


def add_sources(folder: FlowFolder, sources: Sequence[Source]) -> None:
    """Add sources to the folder's flow.json, to those that other calls on this machine have added in the meantime.

    Raises:
        UserError: an error of `claim`.
    """
    with one_at_a_time("flow"):
        known = claim(folder, sources) | {source.name: _location(source) for source in sources}
        with complete_file(folder.path / "flow.json") as temporary:
            report = {"options": folder.options(), "versions": versions(), "sources": known}
            temporary.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def check_flow_room(clips: Sequence[GreyClip], folder: FlowFolder) -> None:
    """Raise a UserError if the flow of the clips cannot fit on the folder's disk."""
    flow_format, step = FORMATS[folder.format], folder.settings.step
    sizes: dict[tuple[int, int], int] = {}
    for clip in clips:
        size = clip.height, clip.width
        sizes[size] = sizes.get(size, 0) + clip.pairs(step)
    needed = sum(fields * flow_format.least_bytes(*size) for size, fields in sizes.items())
    purpose = f"{folder.path}: {folder.format} files of the flow of {len(clips)} sources"
    fix = "make room, name a folder on another disk, or choose another --format or a smaller --size"
    check_room(len(folder.modalities) * needed, folder.path, purpose, fix)


def compute(clips: Sequence[GreyClip], folder: FlowFolder, threads: int) -> None:
    """Compute and write the flow of clips, with a progress bar, and log a summary."""
    settings = folder.settings

    def open_clip(clip: GreyClip, pool: ThreadPoolExecutor) -> AbstractContextManager[WriteChunk]:
        def writer(modality: str) -> AbstractContextManager[Append]:
            path, parameters = folder.output(modality, clip.name), shard_parameters(settings, folder.bound, modality)
            file = FlowFile(path, modality, clip, clip.pairs(settings.step), folder.bound, parameters)
            return FORMATS[folder.format].write(file, pool)

        return write_chunks({modality: writer(modality) for modality in folder.modalities})

    with progress(total=sum(clip.pairs(settings.step) for clip in clips), desc="flow", unit="pair") as bar:
        summary = write_flow(clips, settings, threads, open_clip, bar.update)
    log.info("%s", summary)
    if settings.detector:
        log.info("camera motion unknown, flow kept as it was: %d of %d pairs", summary.identities, summary.pairs)
