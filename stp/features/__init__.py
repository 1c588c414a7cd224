"""Features: what is computed of each clip once, for all folds, and stored as one more modality. A file is a kind.

A file defines FEATURES, a `Features`. It is found by its name: there is no list to add it to.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from stp.data.shards import ClipFields
from stp.errors import UserError
from stp.system.devices import Compute


@dataclass(frozen=True)
class Features:
    """`options` is a frozen dataclass of the kind's keys in the config.

    `extract(options, fields, compute)` gives, for each clip of the fields in their order, its id and an array, whose
    first axis goes along the clip.
    """

    options: type
    extract: Callable[[Any, ClipFields, Compute], Iterator[tuple[str, np.ndarray]]]


def find(kind: str) -> Features:
    """The features of the file `kind`; UserError if there are none."""
    known = sorted(item.name for item in pkgutil.iter_modules(__path__))
    if kind in known:
        features = getattr(importlib.import_module(f"{__name__}.{kind}"), "FEATURES", None)
        if isinstance(features, Features):
            return features
    raise UserError(f"features '{kind}' are unknown; allowed are {', '.join(known)}")
