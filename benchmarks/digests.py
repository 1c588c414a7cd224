"""Digests of stored clips: their speed beside other digests', and what they cost a job that reads the demo's shards.

    python benchmarks/digests.py         # prints a table and keeps it in benchmarks/RESULTS.md
    python benchmarks/digests.py --dry   # prints without keeping the figures

A job reads each clip's bytes once more than it needs. The shares are of the demo's jobs in RESULTS.md: a training reads
two thirds of the clips, and scoring one third.
"""

import hashlib
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from record import benchmark_parser, record

from stp.data.shards import ClipFields, write_shard

CLIPS, SHAPE = 252, (24, 3, 96, 128)  # the demo's frames
TRAINING, SCORING = 11.7, 3.5  # seconds of a job of the demo: "Table 1 of the demo data" in RESULTS.md
REPEATS = 5
DIGESTS: dict[str, Callable[[memoryview], object]] = {
    "crc32": zlib.crc32,
    "adler32": zlib.adler32,
    "sha1": lambda data: hashlib.sha1(data).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
    "blake2b": lambda data: hashlib.blake2b(data).digest(),
}


def seconds(work: Callable[[], object]) -> float:
    """Wall time of the fastest of some repeats."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    """Measure, print and keep."""
    parser = benchmark_parser(__doc__)
    arguments = parser.parse_args()
    block = np.random.default_rng(0).integers(0, 256, 1 << 26, dtype=np.uint8)
    rows = ["| digest | GB/s |", "|:--|--:|"]
    rows += [
        f"| {name} | {block.nbytes / seconds(partial(of, block.data)) / 1e9:.2f} |" for name, of in DIGESTS.items()
    ]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rgb.h5"
        with write_shard(path, "rgb", {}) as shard:
            for clip in range(CLIPS):
                shard.write(f"{clip}", block[: np.prod(SHAPE)].reshape(SHAPE))

        def verify() -> None:
            fields = ClipFields([path])
            for clip in fields.clips():
                fields[clip]

        whole = seconds(verify) - seconds(lambda: ClipFields([path]))
    size = CLIPS * int(np.prod(SHAPE))
    rows += ["", f"All {CLIPS} clips of the demo's frames ({size / 2**20:.0f} MiB) are verified in {whole:.2f} s:"]
    rows += [f"{100 * whole * 2 / 3 / TRAINING:.1f} % of a training, {100 * whole / 3 / SCORING:.1f} % of a scoring."]
    record("Digests of stored clips", rows, "One thread, the files in the page cache.", keep=arguments.keep)


if __name__ == "__main__":
    main()
