"""Files of tensors as torch writes them: loaded without running code from them, after their checksums are verified."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ZIP_BEGINS = b"PK\x03\x04"


def load_tensors(path: Path) -> Any:
    """The content of a torch file, plain values and tensors on the CPU.

    torch does not verify the checksums of the zip archive that such a file is: a flipped bit would change a weight.
    Files of torch before 1.6 are no archives and have no checksums.

    Raises:
        ValueError: a checksum is wrong.
        Exception: torch and zipfile raise many kinds of errors for damaged and foreign files.
    """
    with path.open("rb") as file:
        is_zip = file.read(len(ZIP_BEGINS)) == ZIP_BEGINS
    if is_zip:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"wrong checksum of {damaged}")
    return torch.load(path, map_location="cpu", weights_only=True)


def not_finite(tensors: Mapping[str, Any]) -> str | None:
    """The name of the first tensor with a value that is NaN or infinite; None if there is none.

    Tensors may be in nested mappings.
    """
    for name, value in tensors.items():
        if isinstance(value, Mapping):
            if inner := not_finite(value):
                return f"{name}.{inner}"
        elif isinstance(value, Tensor) and not torch.isfinite(value).all():
            return str(name)
    return None
