"""Versions of everything that can change a number, written into every file the package makes."""

import platform
from importlib.metadata import version

from stp import __version__

PACKAGES = ("numpy", "av", "opencv-contrib-python-headless", "numba", "h5py", "torch", "torchvision", "timm")


def versions() -> dict[str, str]:
    """Name -> version of Python and of the packages that do the arithmetic."""
    return {"stp": __version__, "python": platform.python_version()} | {name: version(name) for name in PACKAGES}
