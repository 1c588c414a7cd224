"""Versions of everything that can change a number, written into every file the package makes."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from stp import __version__

OPENCV = "opencv-contrib-python-headless"
PACKAGES = ("numpy", "av", OPENCV, "numba", "h5py", "torch", "torchvision", "timm")


def versions() -> dict[str, str]:
    """Name -> version of Python and of the packages that do the arithmetic."""
    return {"stp": __version__, "python": platform.python_version()} | dict(map(_version, PACKAGES))


def another_version(found: Mapping[str, str]) -> str:
    """The beginning of advice on a file with these `versions`, if another version of stp wrote it; else empty."""
    if found.get("stp", __version__) == __version__:
        return ""
    return f"stp {found['stp']} wrote it, and this is stp {__version__}: use that version, or "


def _version(package: str) -> tuple[str, str]:
    """Name and version of a package; any other build of OpenCV is called `opencv`, by the version that it reports."""
    try:
        return package, version(package)
    except PackageNotFoundError:
        if package != OPENCV:
            raise
        import cv2  # conda's, a build of one's own, or another wheel

        return "opencv", cv2.__version__
