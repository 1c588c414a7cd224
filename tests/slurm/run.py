"""`make test-slurm`: the workflow on a toy SLURM cluster whose jobs and nodes die makes the table of a local run.

One training is cancelled, one reaches its time limit, one loses its node; each goes on where it was.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.slurm.cluster import ETC, Cluster, output

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = 77
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "munged")
PROFILE = ["--workflow-profile", str(ROOT / "workflow/profiles/slurm"), "--slurm-no-account"]
PROFILE += ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3"]
CONFIG = {
    "results": "results",
    "dataset": {"importer": "demo", "path": "results/videos"},
    "demo": {"clips_per_class": 6, "frames": 24, "actors": 3},
    "shards": 2,
    "frames": {"width": 64, "height": 48},
    "splits": {"scheme": "grouped", "folds": 3},
    "modalities": ["rgb"],
    "variants": ["3-level"],
    "model": {"backbone": "convnet", "weights": "none", "width": 0.25, "input_size": 32},
    "training": {"partial_bn": False, "rgb": {"epochs": 60, "milestones": [40], "learning_rate": 0.01}},
    "scoring": {"segments": 2, "crops": 1},
    "compute": {"device": "cpu", "threads": 1, "mem_mb": 1000},
}
FOLDS = CANCELLED, WARNED, BEREFT = (1, 2, 3)


def obstacle() -> str | None:
    """Why this machine cannot run a cluster, or None; installs Debian's packages where they are absent."""
    if os.geteuid() != 0:
        return "needs root"
    if (ETC / "slurm.conf").exists():
        return f"{ETC / 'slurm.conf'} exists: this host has a SLURM of its own"
    if all(shutil.which(program) for program in PROGRAMS):
        return None
    if not shutil.which("apt-get"):
        return "has neither SLURM nor apt-get"
    for command in (["update"], ["install", "--yes", "--no-install-recommends", *PACKAGES]):
        apt = ["apt-get", "-qq", "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=20", *command]
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(apt, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return f"apt-get {command[0]} fails: {(done.stderr.strip().splitlines() or ['no word why'])[-1]}"
    return None


def snakemake(folder: Path, *options: str) -> list[str]:
    """The command that makes the table in `folder`."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    return [*command, "--configfile", str(folder.parent / "config.json"), *options, "--", "results/table1.csv"]


def wait_for(command: list[str], log: Path) -> None:
    """Run a command to its end, or take it down with all that it started."""
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            process.wait()
        finally:
            end(process)
    if process.returncode != 0:
        raise RuntimeError(f"snakemake ended with {process.returncode}; {tail(log)}")


def end(process: subprocess.Popen[bytes]) -> None:
    """Take down what still runs."""
    if process.poll() is None:
        for child in [*psutil.Process(process.pid).children(recursive=True), process]:
            child.kill()


def caught_training(folder: Path, fold: int) -> psutil.Process | None:
    """The training of a fold, held still once it has kept its first state; None before."""
    if not list((folder / f"results/state/rgb/3-level/fold{fold}").glob("**/*.pt")):
        return None
    for process in psutil.process_iter():
        try:
            if process.cmdline()[1:3] != ["-m", "stp"] or process.cwd() != str(folder.resolve()):
                continue
            if f"results/splits/fold{fold}.csv" in process.cmdline():
                process.suspend()
                return process
        except psutil.Error:
            continue
    raise RuntimeError(f"fold {fold} has a state and no training")


def granted_job(training: psutil.Process) -> str:
    """SLURM's number of a training's job; RuntimeError unless it gave the GPU that the rule asks for."""
    environment = training.environ()
    gpu = environment.get("CUDA_VISIBLE_DEVICES")
    if gpu != "0":
        raise RuntimeError(f"a training that asks for a GPU sees CUDA_VISIBLE_DEVICES={gpu}")
    return environment["SLURM_JOB_ID"]


def strike(cluster: Cluster, trainings: dict[int, psutil.Process]) -> str:
    """Cancel one training's job, cut the power of another's node, and bring the third's near its time limit.

    SLURM lets processes that are held still go on when it asks them to stop. Returns the third's job.
    """
    jobs = {fold: granted_job(training) for fold, training in trainings.items()}
    output("scancel", jobs[CANCELLED])
    cluster.kill_node(output("squeue", "--noheader", "--format=%N", "--jobs", jobs[BEREFT]))
    output("scontrol", "update", f"JobId={jobs[WARNED]}", "EndTime=now+100")
    return jobs[WARNED]


def disturbed_run(cluster: Cluster, folder: Path, log: Path) -> None:
    """The workflow through the profile, with every training struck after its first epoch."""
    with log.open("w") as out, subprocess.Popen(snakemake(folder, *PROFILE), stdout=out, stderr=out) as process:
        try:
            trainings: dict[int, psutil.Process] = {}
            while len(trainings) < len(FOLDS) and process.poll() is None:
                for fold in set(FOLDS) - set(trainings):
                    if training := caught_training(folder, fold):
                        trainings[fold] = training
                time.sleep(0.05)
            if process.poll() is None:
                warned = strike(cluster, trainings)
                say("one training is cancelled, one nears its time limit, one has lost its node")
            process.wait()
        finally:
            end(process)
    if process.returncode != 0:
        raise RuntimeError(f"snakemake ended with {process.returncode}; {tail(log)}")
    state = output("squeue", "--noheader", "--states=all", "--format=%T", "--jobs", warned)
    if state != "FAILED":  # by the training's own exit status, before TIMEOUT
        raise RuntimeError(f"the training near its time limit ended as {state}")


def tail(path: Path, lines: int = 40) -> str:
    """The end of a log."""
    return "\n".join([f"{path}:", *path.read_text().splitlines()[-lines:]])


def check(local: Path, remote: Path, log: Path) -> None:
    """The same bytes, and every training went on where it was."""
    runs = [f"results/runs/rgb/3-level/fold{fold}/seed0" for fold in FOLDS]
    for name in ["results/table1.csv", "results/table1_long.csv", *(f"{run}/model.pt" for run in runs)]:
        if (local / name).read_bytes() != (remote / name).read_bytes():
            raise RuntimeError(f"{name} is not the one of the local run")
    for fold in FOLDS:
        name = f"rgb/3-level/fold{fold}/seed0"
        # Each job's log, because Snakemake's own shows a cancelled job's as it was when it noticed, perhaps too early.
        jobs = (remote / f".snakemake/slurm_logs/rule_train/rgb_3-level_{fold}_0").glob("*.log")
        stopped = any(f"{name}: stopped by SIGTERM in epoch" in job.read_text() for job in jobs)
        if fold != BEREFT and not stopped:
            raise RuntimeError(f"fold {fold} was not stopped; {tail(log)}")
        own = remote / f"results/logs/train/{name}.log"
        if f"{name} goes on in epoch" not in own.read_text():
            raise RuntimeError(f"fold {fold} did not go on where it was; {tail(own)}")


def say(words: str) -> None:
    """A line with the time."""
    print(f"test-slurm: {time.strftime('%X')} {words}", flush=True)


def main() -> int:
    """Exit status: 0, or SKIPPED with a word why."""
    reason = obstacle()
    if reason:
        say(f"skipped: {reason}")
        return SKIPPED
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("test-slurm: terminated"))  # so that everything is taken down
    with tempfile.TemporaryDirectory(prefix="stp-slurm-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # munged refuses folders that others cannot enter
        (folder / "config.json").write_text(json.dumps(CONFIG))
        local, remote, cluster = (folder / part for part in ("local", "remote", "cluster"))
        for part in (local, remote, cluster):
            part.mkdir()
        say("local run")
        wait_for(snakemake(local, "--cores", "2"), folder / "local.log")
        say("cluster")
        with Cluster(cluster) as slurm:
            say("run on SLURM")
            disturbed_run(slurm, remote, folder / "remote.log")
        check(local, remote, folder / "remote.log")
        say("the same table")
    return 0


if __name__ == "__main__":
    sys.exit(main())
