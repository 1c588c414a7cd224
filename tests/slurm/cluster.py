"""A SLURM cluster of three nodes on this host, for as long as a block lasts. Needs root and Debian's SLURM packages."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import psutil

ETC = Path("/etc/slurm")  # jobs lose SLURM_CONF on their way to the job step, so that no other place will do
NODES = ("n1", "n2", "n3")
GRES = "Name=gpu File=/dev/null\n"
CGROUP = "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\nCgroupMountpoint=/sys/fs/cgroup\n"


def output(*command: str) -> str:
    """What a command of SLURM's prints; none hangs for longer than a quarter of a minute."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=15).stdout.strip()


def wait_until(what: str, seconds: float, condition: Callable[[], bool]) -> None:
    """Look twice a second; RuntimeError with `what` where it takes longer than `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not within {seconds:g} s")
        time.sleep(0.5)


def job_processes(node: str) -> list[psutil.Process]:
    """All that a node's jobs started, and SLURM's processes that watch them."""
    found = set()
    for process in psutil.process_iter():
        try:
            if process.environ().get("SLURMD_NODENAME") == node:
                found |= {process, *(parent for parent in process.parents() if parent.name() == "slurmstepd")}
        except psutil.Error:
            continue
    return sorted(found, key=lambda process: process.pid)


class Cluster:
    """munged, slurmctld and a slurmd a node with all their files in `folder`, and three files in /etc/slurm.

    Raises:
        FileExistsError: /etc/slurm has a configuration already, which is nobody's to overwrite.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.written: list[Path] = []

    def __enter__(self) -> "Cluster":
        try:
            self._configure()
            self._start_munge()
            self._start("slurmctld", "slurmctld", "-D")
            for node in NODES:
                self._start(f"slurmd-{node}", "slurmd", "-D", "-N", node)
            wait_until("all nodes idle", 60, lambda: self.states() == ["idle"] * len(NODES))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def states(self) -> list[str]:
        """States of the nodes; none while the controller does not answer."""
        try:
            return output("sinfo", "--noheader", "--Node", "--partition=gpu", "--format=%T").split()
        except subprocess.SubprocessError:
            return []

    def kill_node(self, node: str) -> None:
        """What a power cut does."""
        if daemon := self.daemons.pop(f"slurmd-{node}", None):
            daemon.kill()
            daemon.wait()
        processes = job_processes(node)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=10)

    def stop(self) -> None:
        """Take down what this cluster started, by process, and remove what it wrote outside of its folder."""
        for node in NODES:
            self.kill_node(node)
        for daemon in reversed(self.daemons.values()):
            daemon.kill()
            daemon.wait()
        for path in self.written:
            path.unlink()

    def _configure(self) -> None:
        host = socket.gethostname().split(".")[0]
        template = Path(__file__).with_name("slurm.conf").read_text()
        texts = {
            "slurm.conf": template.replace("HOST", host).replace("FOLDER", str(self.folder)),
            "gres.conf": GRES,
            "cgroup.conf": CGROUP,
        }
        for name in texts:
            if (ETC / name).exists():
                raise FileExistsError(f"{ETC / name} exists: this host has a SLURM of its own")
        for name, text in texts.items():
            self.written.append(ETC / name)
            (ETC / name).write_text(text)
        for name in ("state", *(f"spool/{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True)

    def _start_munge(self) -> None:
        folder = self.folder / "munge"
        folder.mkdir()
        folder.chmod(0o755)
        (folder / "key").write_bytes(os.urandom(128))
        (folder / "key").chmod(0o400)
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{option}={folder / name}" for option, name in files.items()]
        self._start("munged", "munged", "--foreground", "--force", *options)
        wait_until("munged's socket", 15, (folder / "socket").exists)

    def _start(self, name: str, *command: str) -> None:
        program = shutil.which(command[0], path="/usr/sbin:/usr/bin") or command[0]
        with (self.folder / f"{name}.out").open("wb") as out:
            self.daemons[name] = subprocess.Popen([program, *command[1:]], stdout=out, stderr=out)
