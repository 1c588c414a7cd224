"""Devices: names, and places on GPUs that processes share."""

import fcntl
import multiprocessing
import os
import signal
from multiprocessing.synchronize import Event
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest
import torch
from torch import nn

from stp.errors import UserError
from stp.system.devices import autocast, channels_last, configure, reserved_device, select_device
from stp.system.gpu_slots import one_at_a_time, open_lock, reserved_slot


def test_names() -> None:
    assert select_device("cpu") == torch.device("cpu")
    with pytest.raises(UserError, match=r"compute.device: 'gpu' is unknown; allowed are auto, cpu, cuda and cuda:N"):
        select_device("gpu")
    with pytest.raises(UserError, match=r"compute.device: 'cuda:99' was asked for, but torch finds \d+ GPUs"):
        select_device("cuda:99")


def test_emptiest_gpu_first(tmp_path: Path) -> None:
    with reserved_slot("01", 2, tmp_path) as a, reserved_slot("01", 2, tmp_path) as b:
        with reserved_slot("01", 2, tmp_path) as c, reserved_slot("01", 2, tmp_path) as d:
            assert [a, b, c, d] == [0, 1, 0, 1]
        with reserved_slot("01", 2, tmp_path) as c:
            assert c == 0


def hold(folder: Path, taken: Event) -> None:
    with reserved_slot("0", 1, folder):
        taken.set()
        signal.pause()


def test_place_of_a_killed_process_is_free_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = multiprocessing.get_context("fork")
    taken = context.Event()
    process = context.Process(target=hold, args=(tmp_path, taken), daemon=True)
    process.start()
    assert taken.wait(20)
    looks = []

    def kill_after_the_first_look(_: float) -> None:
        looks.append(1)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()

    monkeypatch.setattr("stp.system.gpu_slots.time.sleep", kill_after_the_first_look)
    with reserved_slot("0", 1, tmp_path) as gpu:
        assert gpu == 0
    assert len(looks) == 1  # it was taken, and waited for


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The UUIDs of the GPUs that this process sees, to be changed by the test."""
    seen: list[str] = []
    monkeypatch.setattr("stp.system.devices.tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(seen))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=UUID(seen[number])))
    return seen


CARDS = [f"{number:032x}" for number in range(4)]


def test_several_gpus_are_shared_out(gpus: list[str]) -> None:
    gpus[:] = CARDS[:2]
    with reserved_device("auto") as first, reserved_device("auto") as second:
        assert [first.index, second.index] == [0, 1]
    with reserved_device("cuda:1") as device:
        assert device == torch.device("cuda:1")


def test_processes_that_see_other_gpus_agree_which_is_taken(gpus: list[str]) -> None:
    gpus[:] = CARDS[2], CARDS[3]
    with reserved_device("auto") as first:
        assert first.index == 0
        gpus[:] = CARDS[2], CARDS[1]  # the same card is taken, whatever its number is here
        with reserved_device("auto") as second:
            assert second.index == 1


def test_a_single_gpu_has_one_run_at_a_time_too(gpus: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def waited(_: float) -> None:
        raise TimeoutError

    gpus[:] = CARDS[:1]
    monkeypatch.setattr("stp.system.gpu_slots.time.sleep", waited)
    with reserved_device("auto", 2) as first, reserved_device("cuda", 2) as second:
        assert (first.index, second.index) == (0, 0)
        with pytest.raises(TimeoutError), reserved_device("auto", 2):
            pass


def test_locks_are_for_every_user(tmp_path: Path) -> None:
    mask = os.umask(0o077)
    try:
        os.close(open_lock(tmp_path / "a.lock"))
    finally:
        os.umask(mask)
    assert (tmp_path / "a.lock").stat().st_mode & 0o777 == 0o644


def test_one_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("stp.system.devices.tempfile.gettempdir", lambda: str(tmp_path))
    with one_at_a_time("memory"), (tmp_path / "stp-memory.lock").open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with (tmp_path / "stp-memory.lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_cpu_is_left_as_it_is() -> None:
    before = torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled()
    configure(torch.device("cpu"), deterministic=True)
    assert (torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled()) == before
    with autocast(torch.device("cpu"), "auto"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    with autocast(torch.device("cpu"), "bfloat16"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_kernels_of_images_have_their_channels_last_and_those_of_volumes_stay() -> None:
    images, volumes = nn.Conv2d(4, 2, 3), nn.Conv3d(4, 2, 3)
    network = nn.Sequential(images, volumes, nn.Linear(4, 2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    channels_last(network)
    assert images.weight.stride() == (36, 1, 12, 4)
    assert volumes.weight.is_contiguous()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
