"""Commands run in children of a process that has imported everything, and the judge of how they end.

Starting Python and importing torch takes seconds, and a fork takes none: a `Launcher` is a process that has imported
all of stp and Snakemake and forks itself for each command. The child calls the same `main` as the command line does,
with its output in files. The launcher itself uses none of what it imports, because threads do not survive a fork.
"""

import ctypes
import importlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
READ_ALL = (1, 2)  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, by which root reads files that deny it
SECONDS = 60.0  # after which a command counts as hung
ALONE = 20  # one in so many commands is a Python of its own, as a user starts it
# Lines that are no message of a failure: progress, the log, and where in the Snakefile Snakemake was.
PROGRESS = re.compile(
    r"^(stp: (INFO|WARNING): |.*\d+%\|.*\|)|^Using workflow specific profile"
    r'|^WorkflowError( in file .*)?:$|^File ".*", line \d+'
)


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, or minus a signal's number; what it wrote; seconds; whether it hung."""

    words: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    seconds: float
    hung: bool = False

    @property
    def message(self) -> list[str]:
        """The lines of an error that are neither progress nor log lines; usage errors without their frame."""
        said = self.stdout + self.stderr if self.words[0] == "snakemake" else self.stderr  # dry runs use the former
        lines = [re.sub(r"^[│╭╰─╮╯ ]+|[│╭╰─╮╯ ]+$", "", line).strip() for line in said.splitlines()]
        usage = re.compile(r"^(Usage: |Try '|Error$)")
        lines = [line for line in lines if line and not PROGRESS.match(line) and not usage.match(line)]
        return ["".join(lines)] if "╭" in self.stderr else lines  # a usage error is one message, folded by its frame

    def names(self, *words: str) -> bool:
        """True if the message, or a warning before it, has one of the words, wherever it is folded."""
        warnings = [line for line in self.stderr.splitlines() if line.startswith("stp: WARNING: ")]
        text = re.sub(r"\s", "", "".join([*self.message, *warnings])).lower()
        return any(re.sub(r"\s", "", word).lower() in text for word in words)


def crash(ended: Ended) -> str | None:
    """`hang`, `signal` or `traceback` if the command ended in one, whatever it was asked to do."""
    if ended.hung:
        return "hang"
    if ended.code < 0:
        return "signal"
    if "Traceback (most recent call last)" in ended.stderr + ended.stdout or "please report it" in ended.stderr:
        return "traceback"
    return None


def refusal(ended: Ended, *words: str, lines: int = 3) -> str | None:
    """The fault in a refusal: a crash, or `words` if the message is long or has none of the words; None if good."""
    if found := crash(ended):
        return found
    if ended.code == 0:
        raise ValueError("the command was not refused")
    return None if len(ended.message) <= lines and ended.names(*words) else "words"


@dataclass(frozen=True)
class Kill:
    """A signal to a command, `seconds` after its start."""

    seconds: float
    number: signal.Signals


class Launcher:
    """A process that runs one command after another; close it, or use it as a context."""

    def __init__(self, folder: Path, imported: Sequence[str] | None = None) -> None:
        """`folder` receives what the commands write to standard output and error; `imported` replaces `PRELOADED`."""
        self._folder, self._commands = folder, 0
        folder.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.campaign.command", *(PRELOADED if imported is None else imported)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    def __enter__(self) -> "Launcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def stp(self, *words: object, **options: Any) -> Ended:
        """Run `stp WORDS`; options as for `run`."""
        return self.run("stp", *words, **options)

    def run(
        self,
        program: str,
        *words: object,
        cwd: Path | None = None,
        seconds: float = SECONDS,
        kill: Kill | None = None,
        environment: dict[str, str] | None = None,
        unprivileged: bool = False,
        alone: bool = False,
    ) -> Ended:
        """Run a program to its end.

        Args:
            program: "stp", "snakemake", or "call" for a function MODULE:FUNCTION of the campaign.
            words: the arguments; paths and numbers become text.
            cwd: the folder to run in.
            seconds: after which it counts as hung and is killed.
            kill: a signal to send on the way.
            environment: further environment variables.
            unprivileged: whether to run without root's right to read everything.
            alone: whether to start a Python of its own, as a user does, instead of a fork; some always do.
        """
        self._commands += 1
        alone = alone or (program == "stp" and kill is None and self._commands % ALONE == 0)
        assert self._process.stdin
        assert self._process.stdout
        out, err = self._folder / "stdout", self._folder / "stderr"
        request = {
            "program": program,
            "words": [os.fsdecode(word) if isinstance(word, (bytes, Path)) else str(word) for word in words],
            "cwd": str(cwd or self._folder),
            "out": str(out),
            "err": str(err),
            "seconds": seconds,
            "kill": [kill.seconds, int(kill.number)] if kill else None,
            "environment": environment or {},
            "unprivileged": unprivileged,
            "alone": alone,
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"code": 0, "seconds": 0, "dead": true}')
        if "dead" in answer:
            raise RuntimeError("the launcher has ended")
        written = [path.read_text(errors="replace") for path in (out, err)]
        shown = (program, *request["words"])  # type: ignore[misc]
        return Ended(shown, answer["code"], written[0], written[1], answer["seconds"], answer["hung"])


def drop_capabilities() -> None:
    """Take root's right to read every file from this process and from what it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()  # version 3; 3 sets of 2 words
    libc.capget(header, sets)
    for bit in READ_ALL:
        libc.prctl(24, bit, 0, 0, 0)  # PR_CAPBSET_DROP
        for word in range(3):
            sets[word] &= ~(1 << bit)
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")


def call(request: dict[str, Any]) -> None:
    """Become the command; never returns."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for path, number in ((request["out"], 1), (request["err"], 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(request["cwd"])
    os.environ.update(request["environment"])
    tempfile.tempdir = None
    program, words = request["program"], request["words"]
    if request["unprivileged"]:
        drop_capabilities()
    if request["alone"]:
        os.execv(sys.executable, [sys.executable, "-m", program, *words])
    sys.argv = [program, *words]
    sys.modules["__main__"].__package__ = None  # so that usage errors name `stp`
    code = 0
    try:
        if program == "stp":
            from stp.cli.app import main

            main()
        elif program == "call":
            module, _, function = words[0].partition(":")
            getattr(importlib.import_module(module), function)(*words[1:])
        else:
            from snakemake.cli import main as snakemake

            snakemake(words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def check_config(path: str) -> None:
    """What the Snakefile does with a config before anything else."""
    from stp.config_check import checked_config, read_config
    from stp.errors import UserError

    try:
        checked_config(read_config(Path(path)))
    except UserError as error:
        sys.exit(str(error))


def await_end(pid: int, request: dict[str, Any]) -> dict[str, Any]:
    """Wait for a command, with the signal that it was to receive, and end it when its time is over."""
    began, hung, kill = time.monotonic(), False, request["kill"]
    ending = os.pidfd_open(pid)
    try:
        if kill and not select.select([ending], [], [], kill[0])[0]:
            group = request["program"] == "snakemake"  # whose jobs are in its group, as on a terminal
            (os.killpg if group else os.kill)(pid, kill[1])
        if not select.select([ending], [], [], request["seconds"])[0]:
            hung = True
            os.killpg(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    finally:
        os.close(ending)
    return {"code": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - began, "hung": hung}


def serve() -> None:
    """Import the modules that are named as arguments; run each line of standard input and answer how it ended."""
    for module in sys.argv[1:]:
        importlib.import_module(module)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            call(request)
        print(json.dumps(await_end(pid, request)), flush=True)


PRELOADED = (
    "snakemake.cli",
    "tests.campaign.clips",
    "torch",
    "stp.cli",
    "sklearn.model_selection",
    "matplotlib.pyplot",
    "timm",
    "pandas",
    "stp.evaluation.table1",
    "stp.extraction.stages",
    "stp.extraction.flow_folder",
    "stp.figures.clips",
    "stp.figures.plots",
    "stp.methods.pyramid",
    "stp.predict.videos",
    "stp.setup.survey",
    "stp.training.loop",
)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the campaign, which ends its launchers
    serve()
