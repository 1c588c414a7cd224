"""stp doctor: the report, limits of control groups, and what a missing part means."""

import errno
import fcntl
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from packaging.specifiers import SpecifierSet

from stp.cli.app import app
from stp.data.shards import read_extra, write_shard
from stp.errors import UserError
from stp.setup import doctor
from stp.setup.doctor import Finding, can_run, report
from stp.system.gpu_slots import one_at_a_time, taken_places
from stp.system.machine import existing


def test_report_is_aligned_and_fixes_stand_below_their_lines() -> None:
    findings = [
        Finding("GPU", "none", "the CPU"),
        Finding("BN-Inception", "no weights", "", "put the file there"),
        Finding("disk", "0.1 GiB free", "", "make room", blocking=True),
    ]
    assert report(findings).splitlines() == [
        "              found         used",
        "GPU           none          the CPU",
        "BN-Inception  no weights",
        "              fix: put the file there",
        "disk          0.1 GiB free",
        "              MISSING: make room",
        "",
        "make table1 cannot run here: fix what is MISSING",
    ]
    assert report(findings[:2]).endswith("\nmake table1 can run here")


def test_this_machine_runs_the_demo(tmp_path: Path) -> None:
    """As the tests do; only memory and disk may be short for a while."""
    findings = doctor.examine_machine(tmp_path / "results")
    assert can_run([finding for finding in findings if finding.subject not in ("memory", "disk")])
    assert {"Python", "torch", "OpenCV", "video", "flow", "BN-Inception", "memory", "disk", "SLURM"} <= {
        finding.subject for finding in findings
    }
    assert not list(tmp_path.iterdir())


def test_kernels_are_compiled_as_the_flow_of_clips_needs_them(tmp_path: Path) -> None:
    """What the doctor compiles is kept for jobs of flow, because both call it with the same types."""
    texture = cv2.resize(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8), (160, 120))
    with write_shard(tmp_path / "rgb.h5", "rgb", {}) as shard:
        shard.write("a", np.stack([np.roll(texture, step, 1).transpose(2, 0, 1) for step in range(3)]))
    script = """
from pathlib import Path

from stp.extraction.pairs import FlowSettings
from stp.extraction.stages import extract_flow
from stp.flow.numba_engine import flow_of_pair
from stp.setup.doctor import flow_finding
from stp.warped.homography import ransac
from stp.warped.matching import nearest_by_hamming
from stp.warped.warping import warp_rows

def compiled():
    return [kernel.signatures for kernel in (flow_of_pair, ransac, nearest_by_hamming, warp_rows)]

assert not flow_finding().blocking
by_doctor = compiled()
assert list(map(len, by_doctor)) == [1, 1, 1, 1]
extract_flow(Path("rgb.h5"), Path("of.h5"), Path("wof.h5"), FlowSettings("numba", detector="orb"), 20.0, threads=1)
assert compiled() == by_doctor
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)  # here, other tests have called them
    assert not read_extra(tmp_path / "wof.h5", "identity")["a"].any()


def test_missing_package_is_all_that_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "requires", lambda _: ["h5py>=999", "nosuchpackage", 'other; extra == "dev"'])
    findings = doctor.examine_machine(tmp_path)
    assert [finding.subject for finding in findings] == ["Python", "packages"]
    assert "h5py is" in findings[1].found
    assert findings[1].found.endswith("not >=999; nosuchpackage is not installed")
    assert not can_run(findings)


def test_exit_status_says_whether_the_demo_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    for blocking in (False, True):
        monkeypatch.setattr(doctor, "examine_machine", lambda _, b=blocking: [Finding("disk", "full", blocking=b)])
        assert CliRunner().invoke(app, ["doctor"]).exit_code == int(blocking)


@pytest.mark.parametrize(
    ("python", "runs"), [((3, 10), False), ((3, 11), True), ((3, 12), True), ((3, 13), True), ((3, 14), False)]
)
def test_pythons_that_the_lock_has_wheels_for(
    python: tuple[int, int], runs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]
    assert SpecifierSet(project["requires-python"]).contains(".".join(map(str, python))) is runs
    monkeypatch.setattr(doctor.sys, "version_info", (*python, 2, "final", 0))
    finding = doctor.python_finding()
    assert finding.blocking is not runs
    assert finding.fix == ("" if runs else "install Python 3.11 to 3.13, and stp again")


def test_what_a_config_lacks_is_reported_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    monkeypatch.setattr(doctor, "examine_machine", lambda _: [Finding("disk", "full")])
    config = tmp_path / "own.yaml"
    config.write_text(
        f"dataset:\n  importer: folder\n  path: {tmp_path}/nothing\nmodel:\n  weights: {tmp_path}/no.pth\n"
    )
    told = CliRunner().invoke(app, ["doctor", str(config)])
    assert told.exit_code == 1
    assert f"{tmp_path}/nothing" in told.stdout
    assert f"{tmp_path}/no.pth" in told.stdout
    assert told.stdout.endswith(f"{config} cannot run here: fix what stands above\n")
    config.write_text("dataset:\n  importer: demo\n  path: results/videos\ndemo: {}\nmodel: {weights: none}\n")
    told = CliRunner().invoke(app, ["doctor", str(config)])
    assert (told.exit_code, told.stdout.splitlines()[-1]) == (0, f"{config} can run here")
    told = CliRunner().invoke(app, ["doctor", str(tmp_path / "typo.yaml")])
    assert str(told.exception) == f"config: {tmp_path}/typo.yaml: cannot be read (No such file or directory)"


def test_short_memory_and_disk_block(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "process_memory", lambda: (2**34, 2**29))
    monkeypatch.setattr(doctor, "free_disk", lambda _: 2**29)
    assert [finding.blocking for finding in doctor.room_findings(tmp_path)] == [True, True]
    monkeypatch.setattr(doctor, "process_memory", lambda: (2**34, 2**31))
    monkeypatch.setattr(doctor, "processors", lambda: 8)
    room = next(doctor.room_findings(tmp_path))
    assert (room.blocking, room.fix) == (False, "no more than 2 jobs at once: make table1 CORES=2")


def test_videos_that_cannot_be_written_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "encoder_works", lambda folder, encoder: encoder.codec == "VP9")
    video = doctor.video_finding()
    assert video.found.endswith(", H.264 no, VP9 yes")
    assert (video.used, video.fix, video.blocking) == ("VP9 for every video written", "", False)
    monkeypatch.setattr(doctor, "encoder_works", lambda folder, encoder: False)
    assert (doctor.video_finding().blocking, doctor.video_finding().used) == (True, "")


def test_gpus_are_listed_with_their_memory_and_the_runs_on_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    cards = [SimpleNamespace(name="GPU X", major=9, minor=0, uuid=f"card{number}") for number in range(2)]
    monkeypatch.setattr(torch.cuda, "get_device_properties", cards.__getitem__)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (number * 2**30, 80 * 2**30))
    monkeypatch.setattr(doctor.tempfile, "gettempdir", lambda: str(tmp_path))
    with (tmp_path / "stp-gpucard1-0.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        _, first, second = doctor.gpu_findings()
    assert (first.subject, first.used) == ("GPU 0", "held by no run")
    assert first.found == "GPU X, compute capability 9.0, 0.0 of 80.0 GiB free"
    assert (second.subject, second.used) == ("GPU 1", "held by 1 run")

    def taken(number: int) -> tuple[int, int]:
        raise RuntimeError("CUDA error: all CUDA-capable devices are busy\nmore")

    monkeypatch.setattr(torch.cuda, "mem_get_info", taken)
    assert "cannot be used now (CUDA error: all CUDA-capable devices are busy)" in doctor.gpu_findings()[1].found


def test_gpu_that_torch_cannot_use_gets_a_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor, "NVIDIA_DRIVER", tmp_path / "absent")
    assert [(finding.found, finding.fix) for finding in doctor.gpu_findings()][1:] == [("none", "")]
    monkeypatch.setattr(doctor, "NVIDIA_DRIVER", tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert "the driver does not serve this torch" in doctor.gpu_findings()[0].fix
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "leave it unset" in doctor.gpu_findings()[0].fix


def test_nearest_folder_that_exists(tmp_path: Path) -> None:
    assert existing(tmp_path / "a/b/c") == tmp_path


def test_places_on_gpus_that_runs_hold_are_counted(tmp_path: Path) -> None:
    with (tmp_path / "stp-gpu0-0.lock").open("w") as held, (tmp_path / "stp-gpu0-1.lock").open("w"):
        fcntl.flock(held, fcntl.LOCK_EX)
        assert taken_places("0", tmp_path) == 1
        assert taken_places("1", tmp_path) == 0


def test_doctor_says_where_the_public_weights_belong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    path = tmp_path / "checkpoints/bn_inception-52deb4733.pth"
    assert f"at {path}, or name it in model.weights" in next(doctor.weights_findings()).fix
    path.parent.mkdir()
    path.write_bytes(b"half a file")
    assert next(doctor.weights_findings()).found == f"{path} is damaged"


def test_folders_without_file_locks_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("HDF5_USE_FILE_LOCKING", raising=False)
    assert list(doctor.lock_findings(tmp_path / "results")) == []

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    results, temporary = doctor.lock_findings(tmp_path / "results")
    assert (results.found, results.used, results.blocking) == (f"none in {tmp_path}", "not needed for results", False)
    assert results.fix.startswith("set HDF5_USE_FILE_LOCKING=FALSE, for other programs")
    assert temporary.fix.startswith("set TMPDIR to a folder on a local disk")
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "TRUE")
    results, _ = doctor.lock_findings(tmp_path / "results")
    assert (results.fix, results.blocking) == ("set HDF5_USE_FILE_LOCKING=FALSE", True)
    with pytest.raises(UserError, match=r"stp-memory.lock: its file system grants no locks.* TMPDIR"):
        one_at_a_time("memory").__enter__()
    assert taken_places("0", tmp_path) == 0
