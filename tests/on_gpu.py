"""Run the tests that are marked `gpu`: all of them, on a machine with an NVIDIA GPU.

Status 77 where there is no GPU. Tests of OpenCV's CUDA are left out where OpenCV was built without it, those of real
clips where there are none; no other test may be skipped, or the status is 1.
"""

import sys

import pytest
import torch

from stp.flow.opencv_engines import opencv_cuda_available
from stp.system.triton_support import triton_available

NO_GPU = 77


class Skipped:
    """A plugin of pytest that notes the tests that are skipped, but for want of real clips."""

    def __init__(self) -> None:
        self.tests: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that was skipped."""
        if report.skipped and "no real clips" not in str(report.longrepr):
            self.tests.append(report.nodeid)


def main(arguments: list[str]) -> int:
    """Run the tests with more arguments of pytest, and return the exit status."""
    if not torch.cuda.is_available():
        print("no test ran: torch finds no GPU here")
        return NO_GPU
    if not triton_available():
        print("no test ran: triton needs a GPU of compute capability 8.0 or higher, and a C compiler")
        return 1
    marker = "gpu"
    if not opencv_cuda_available():
        print("tests of OpenCV's CUDA are left out: this OpenCV was built without it")
        marker = "gpu and not opencv_cuda"
    skipped = Skipped()
    status = int(pytest.main(["-m", marker, *arguments], plugins=[skipped]))
    for test in skipped.tests:
        print(f"skipped, though there is a GPU: {test}")
    return status or int(bool(skipped.tests))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
