"""Seconds that Snakemake plans for a large data set before it starts the first job.

    python benchmarks/dry_run.py --clips 6766

Times `snakemake --dry-run` of the whole workflow on a folder of that many (empty) videos in 51 classes, as in HMDB51;
the median of five calls is kept in benchmarks/RESULTS.md.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import benchmark_parser, record

ROOT = Path(__file__).resolve().parents[1]
CLASSES, SHARDS, CALLS = 51, 64, 5


def main() -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--clips", type=int, default=6766)
    arguments = parser.parse_args()
    clips = arguments.clips
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(clips):
            video = folder / f"videos/class{number % CLASSES}/clip{number}.avi"
            video.parent.mkdir(parents=True, exist_ok=True)
            video.touch()
        (folder / "config.yaml").write_text(f"dataset: {{importer: folder, path: videos}}\nshards: {SHARDS}\n")
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", name]
        command += ["--configfile", str(folder / "config.yaml"), "--dry-run", "--quiet", "all"]
        seconds = []
        for _ in range(CALLS):
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - began)
    row = f"{clips} clips, {SHARDS} shards: {statistics.median(seconds):.2f} s (of {CALLS}: {min(seconds):.2f} to "
    record("Dry run", [row + f"{max(seconds):.2f} s)"], keep=arguments.keep)


if __name__ == "__main__":
    main()
