"""Versions are those of what is installed, whichever build of OpenCV that is."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

import cv2
import pytest

from stp.system.versions import OPENCV, versions


def test_another_build_of_opencv_is_recorded_by_the_version_that_it_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == OPENCV:
            raise PackageNotFoundError(name)
        return installed(name)

    with_wheel = versions()
    monkeypatch.setattr("stp.system.versions.version", version)
    without = versions()
    assert without["opencv"] == cv2.__version__
    assert OPENCV not in without
    assert without.keys() - {"opencv"} == with_wheel.keys() - {OPENCV}


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stp.system.versions.PACKAGES", ("numpy", "absent"))
    with pytest.raises(PackageNotFoundError, match="absent"):
        versions()
