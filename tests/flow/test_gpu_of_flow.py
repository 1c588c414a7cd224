"""OpenCV's CUDA TV-L1 is called as it should be, which a stand-in shows where there is no GPU."""

import threading
from collections.abc import Callable
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from stp.cli.options import gpu_of_flow
from stp.flow.opencv_engines import tvl1_opencv_cuda, use_gpu
from stp.flow.parameters import TVL1Parameters


class Cuda(SimpleNamespace):
    """A stand-in for cv2.cuda with 4 GPUs: the current one belongs to a thread, as CUDA has it; flow is its number."""

    def __init__(self) -> None:
        super().__init__(current=threading.local(), used=[])

    def setDevice(self, number: int) -> None:
        self.current.number = number

    def getDevice(self) -> int:
        return getattr(self.current, "number", 0)

    def Stream(self) -> SimpleNamespace:
        return SimpleNamespace(waitForCompletion=lambda: None)

    def GpuMat(self) -> SimpleNamespace:
        mat = SimpleNamespace(data=None)
        mat.upload = lambda array, stream: setattr(mat, "data", array)
        mat.download = lambda stream: mat.data
        return mat

    @property
    def OpticalFlowDual_TVL1(self) -> SimpleNamespace:
        return SimpleNamespace(create=lambda *_: SimpleNamespace(calc=self.calc))

    def calc(self, first: Any, second: Any, field: Any, stream: Any) -> Any:
        self.used.append(self.getDevice())
        field.data = np.full((*first.data.shape, 2), self.getDevice(), np.float32)
        return field


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    stand_in = Cuda()
    monkeypatch.setattr(cv2, "cuda", stand_in)
    return stand_in


@pytest.mark.parametrize("streams", [1, 3])
def test_every_thread_computes_on_the_callers_gpu(cuda: Cuda, streams: int) -> None:
    frames = np.zeros((5, 4, 6), np.uint8)
    use_gpu(2)
    flow = tvl1_opencv_cuda(frames, frames, TVL1Parameters(semantics="opencv-cuda"), streams)
    assert flow.shape == (5, 2, 4, 6)
    assert (flow == 2).all()
    assert cuda.used == [2] * 5


@pytest.mark.parametrize(("engine", "reserved"), [("numba", 0), ("opencv", 0), ("triton", 1), ("torch", 1)])
def test_every_backend_that_computes_on_a_gpu_reserves_one(
    monkeypatch: pytest.MonkeyPatch, engine: str, reserved: int
) -> None:
    assert reservations(monkeypatch, engine) == reserved


def test_opencv_computes_on_the_gpu_that_is_reserved(monkeypatch: pytest.MonkeyPatch, cuda: Cuda) -> None:
    assert reservations(monkeypatch, "opencv-cuda", lambda: cuda.getDevice() == 3) == 1


def reservations(monkeypatch: pytest.MonkeyPatch, engine: str, check: Callable[[], bool] = lambda: True) -> int:
    """The number of GPUs that a backend reserves, number 3 of the machine; `check` must hold meanwhile."""
    taken = []

    @contextmanager
    def reserved_device() -> Any:
        taken.append(3)
        yield torch.device("cuda", 3)

    monkeypatch.setattr("stp.system.devices.reserved_device", reserved_device)
    monkeypatch.setattr("stp.system.devices.use", lambda device: None)
    with gpu_of_flow(engine):
        assert check()
    return len(taken)
