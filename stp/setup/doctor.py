"""The doctor: what a machine has, what stp will use of it, and how to fix what is missing."""

import importlib
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from stp import __version__
from stp.system.files import grants_locks
from stp.system.machine import existing, free_disk, process_memory, processors

if TYPE_CHECKING:
    from stp.video.writing import Encoder

GIB = 2**30
# For `make table1`: its largest job takes 0.95 GiB, its results folder 0.5 GB (benchmarks/RESULTS.md).
DEMO_MEMORY = 1 * GIB
DEMO_DISK = 1 * GIB
OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was examined and found, what stp will use of it, and how to fix what is missing.

    `blocking` means that `make table1` cannot run before it is fixed.
    """

    subject: str
    found: str
    used: str = ""
    fix: str = ""
    blocking: bool = False


def report(findings: Sequence[Finding], name: str = "make table1", problems: Sequence[str] = ()) -> str:
    """The findings as aligned text, with fixes below their lines, then the problems of a config.

    The last line says whether what is called `name` can run.
    """
    header = Finding("", "found", "used")
    widths = [max(len(getattr(item, name)) for item in (header, *findings)) for name in ("subject", "found")]
    lines = []
    for item in (header, *findings):
        line = f"{item.subject:{widths[0]}}  {item.found:{widths[1]}}  {item.used}"
        lines.append(line.rstrip())
        if item.fix:
            lines.append(f"{'':{widths[0]}}  {'MISSING' if item.blocking else 'fix'}: {item.fix}")
    verdict = f"{name} can run here"
    if problems:
        verdict = f"{name} cannot run here: fix what stands above"
    elif not can_run(findings):
        verdict = f"{name} cannot run here: fix what is MISSING"
    return "\n".join([*lines, *(["", *problems] if problems else []), "", verdict])


def can_run(findings: Sequence[Finding]) -> bool:
    """True if nothing is missing that `make table1` needs."""
    return not any(item.blocking for item in findings)


def examine_machine(results: Path) -> list[Finding]:
    """All findings; `results` is the folder that will hold the results.

    If Python is too old or a package is missing, findings that need the packages are left out.
    """
    findings = [python_finding(), package_finding()]
    if not can_run(findings):
        return findings
    return [
        *findings,
        *gpu_findings(),
        training_finding(),
        opencv_finding(),
        video_finding(),
        flow_finding(),
        *weights_findings(),
        *room_findings(results),
        *lock_findings(results),
        slurm_finding(),
    ]


def python_finding() -> Finding:
    """Python's version and path."""
    wrong = not OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON
    oldest, newest = (".".join(map(str, version)) for version in (OLDEST_PYTHON, NEWEST_PYTHON))
    fix = f"install Python {oldest} to {newest}, and stp again" if wrong else ""
    return Finding("Python", f"{platform.python_version()}, {sys.executable}", fix=fix, blocking=wrong)


def package_finding() -> Finding:
    """The packages that stp needs: those that are not installed, have another version or do not load."""
    wrong = list(missing_packages())
    if not wrong:
        for name in ("cv2", "h5py", "numba", "torch"):  # whose libraries may fail to load
            try:
                importlib.import_module(name)
            except ImportError as error:
                wrong.append(f"{name} does not load ({error})")
    fix = "pip install -e . in the project's folder, or make table1, which installs the locked versions"
    found = "; ".join(wrong) if wrong else f"all that stp {__version__} needs"
    return Finding("packages", found, fix=fix if wrong else "", blocking=bool(wrong))


def missing_packages() -> Iterator[str]:
    """A message for each requirement of stp that is not installed or has another version."""
    try:
        from packaging.requirements import Requirement

        requirements = [Requirement(text) for text in requires("stp") or ()]
    except (ImportError, PackageNotFoundError) as error:
        yield f"not installed: {error}"
        return
    for requirement in requirements:
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            yield f"{requirement.name} is not installed"
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            yield f"{requirement.name} is {installed}, not {requirement.specifier}"


def gpu_findings() -> list[Finding]:
    """torch, and each GPU with its memory and the runs that hold places on it."""
    import torch

    from stp.system.devices import visible_gpus
    from stp.system.gpu_slots import taken_places

    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"
    found = f"{torch.__version__.split('+')[0]}, built for {built}"
    if torch.cuda.is_available():
        gpus = []
        for number, name in enumerate(visible_gpus()):
            runs = taken_places(name, Path(tempfile.gettempdir()))
            count = {0: "no run", 1: "1 run"}.get(runs, f"{runs} runs")
            gpus.append(Finding(f"GPU {number}", gpu_words(number), f"held by {count}"))
        return [Finding("torch", found), *gpus]
    if not NVIDIA_DRIVER.exists():
        return [Finding("torch", found), Finding("GPU", "none")]
    hidden = torch.version.cuda and os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    fix = (
        "set CUDA_VISIBLE_DEVICES to a GPU's number, or leave it unset"
        if hidden
        else "the driver does not serve this torch: nvidia-smi shows its CUDA version; install a torch built for that"
    )
    return [Finding("torch", found, fix=fix), Finding("GPU", "an NVIDIA driver, but no GPU that torch can use")]


def gpu_words(number: int) -> str:
    """Name, compute capability and memory of a GPU."""
    import torch

    properties = torch.cuda.get_device_properties(number)
    words = f"{properties.name}, compute capability {properties.major}.{properties.minor}"
    try:
        free, total = torch.cuda.mem_get_info(number)
    except RuntimeError as error:  # its memory is full, or it is reserved for one process
        return f"{words}, cannot be used now ({str(error).splitlines()[0]})"
    return f"{words}, {free / GIB:.1f} of {total / GIB:.1f} GiB free"


def training_finding() -> Finding:
    """The device, precision and compilation that `auto` means for training on this machine."""
    from stp.system.devices import select_device

    device = select_device("auto")
    if device.type == "cpu":
        return Finding("training", f"{processors()} processors", "the CPU, float32, not compiled")
    return Finding("training", f"{processors()} processors", "a free GPU, bfloat16, compiled where trainings are long")


def opencv_finding() -> Finding:
    """OpenCV and its CUDA."""
    import cv2

    from stp.flow.opencv_engines import opencv_available, opencv_cuda_available

    parts = [cv2.__version__, "with TV-L1 (contrib)" if opencv_available() else "without TV-L1 (contrib)"]
    parts.append("CUDA" if opencv_cuda_available() else "no CUDA")
    return Finding("OpenCV", ", ".join(parts))


def video_finding() -> Finding:
    """PyAV, and the encoders by which it writes videos that it can decode again."""
    from stp.video.writing import ENCODERS

    with tempfile.TemporaryDirectory() as folder:
        works = {encoder.codec: encoder_works(Path(folder), encoder) for encoder in ENCODERS}
    words = ", ".join(f"{codec} {'yes' if fine else 'no'}" for codec, fine in works.items())
    first = next((codec for codec, fine in works.items() if fine), "")
    used = f"{first} for every video written" if first else ""
    fix = "" if first else "PyAV lacks its encoders here: pip install --force-reinstall av"
    return Finding("video", f"PyAV {version('av')}, {words}", used, fix, blocking=not first)


def encoder_works(folder: Path, encoder: "Encoder", frames: int = 3) -> bool:
    """True if a tiny video can be written and decoded to its end."""
    import numpy as np

    from stp.video.decoding import UndecodableError, examine_video
    from stp.video.writing import available, video_writer

    path = folder / f"{encoder.codec}.mp4"
    try:
        if not available(encoder):
            return False
        with video_writer(path, 64, 48, 25, frames, encoder) as video:
            for value in range(frames):
                video.write(np.full((48, 64, 3), 50 * value, np.uint8))
        return examine_video(str(path)).frames == frames
    except (OSError, UndecodableError):
        return False


def try_flow() -> None:
    """Flow of a pair of frames, and the camera's motion: it compiles all that jobs of flow use by default."""
    import numpy as np

    from stp.flow import tvl1
    from stp.warped import align, detect_keypoints

    noise = np.random.default_rng(0).integers(0, 256, (48, 60), np.uint8)
    previous, following = (np.kron(part, np.ones((4, 4), np.uint8)) for part in (noise[:, :-1], noise[:, 1:]))
    (flow,) = tvl1(previous[None], following[None], threads=1)
    align(previous, following, flow, detect_keypoints(previous), detect_keypoints(following))


def flow_finding() -> Finding:
    """The backends of TV-L1, after a test of the default one."""
    import numba

    from stp.flow import available_backends, resolve_backend

    names = dict.fromkeys([*available_backends("opencv-cpu"), *available_backends("opencv-cuda")])
    used = f"{resolve_backend('auto')}, {numba.get_num_threads()} threads at most"
    try:
        try_flow()
    except Exception as error:  # numba raises many types if it cannot compile or cache
        reason = str(error).splitlines()[0]
        fix = f"flow fails ({reason}); if numba cannot compile, set NUMBA_CACHE_DIR to a folder that can be written"
        return Finding("flow", ", ".join(names), used, fix, blocking=True)
    return Finding("flow", ", ".join(names), used)


def weights_findings() -> Iterator[Finding]:
    """ImageNet weights of BN-Inception and of EfficientNet-Lite0; the demo needs neither."""
    from stp.models.backbones import BN_INCEPTION_FILE, BN_INCEPTION_SHA256, bninception_path
    from stp.models.state_dicts import sha256_of

    path = bninception_path()
    if not path.is_file():
        fix = f"for the paper's recipe put the public file {BN_INCEPTION_FILE} at {path}, or name it in model.weights"
        yield Finding("BN-Inception", "no ImageNet weights", "not by the demo", fix)
    elif sha256_of(path) != BN_INCEPTION_SHA256:
        yield Finding("BN-Inception", f"{path} is damaged", "not by the demo", "fetch the file again")
    else:
        yield Finding("BN-Inception", "ImageNet weights are there", "not by the demo")
    yield Finding("EfficientNet", "ImageNet weights come with a package", "not by the demo")


def room_findings(results: Path) -> Iterator[Finding]:
    """Free memory, and free space on the disk of the results folder."""
    total, free = process_memory()
    jobs = min(processors(), free // DEMO_MEMORY)
    fix = "end other programs, or ask the cluster for more memory" if not jobs else ""
    if 0 < jobs < processors():
        fix = f"no more than {jobs} jobs at once: make table1 CORES={jobs}"
    room = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free"
    yield Finding("memory", room, f"{DEMO_MEMORY / GIB:.0f} GiB a job of the demo", fix, blocking=not jobs)
    folder = existing(results)
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        yield Finding("disk", f"{folder} cannot be written", fix="work in a folder of your own", blocking=True)
        return
    free = free_disk(results)
    short = free < DEMO_DISK
    fix = "make room, or name a results folder on another disk" if short else ""
    yield Finding("disk", f"{free / GIB:.1f} GiB free in {folder}", "0.5 GiB by the demo", fix, short)


def lock_findings(results: Path) -> Iterator[Finding]:
    """Findings about locks in the folder of the results and in the temporary folder; none if files can be locked."""
    folder, temporary = existing(results), Path(tempfile.gettempdir())
    if os.access(folder, os.W_OK) and not grants_locks(folder):
        demanded = os.environ.get("HDF5_USE_FILE_LOCKING", "").upper() in ("TRUE", "1")
        fix = "set HDF5_USE_FILE_LOCKING=FALSE" + ("" if demanded else ", for other programs that read HDF5 there")
        yield Finding("file locks", f"none in {folder}", "not needed for results", fix, blocking=demanded)
    if not grants_locks(temporary):
        fix = "set TMPDIR to a folder on a local disk: there jobs share GPUs and memory by locks"
        yield Finding("file locks", f"none in {temporary}", "by jobs that share memory", fix)


def slurm_finding() -> Finding:
    """SLURM, if jobs can be submitted to a cluster."""
    if not shutil.which("sbatch"):
        return Finding("SLURM", "no sbatch", "jobs run on this machine")
    inside = f", inside of job {os.environ['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in os.environ else ""
    if importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        return Finding("SLURM", f"sbatch and Snakemake's plugin{inside}", "on request: stp run CONFIG --profile slurm")
    fix = "to submit jobs: pip install snakemake-executor-plugin-slurm"
    return Finding("SLURM", f"sbatch{inside}", "jobs run on this machine", fix)
