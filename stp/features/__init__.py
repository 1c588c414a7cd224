"""Features are computed once per clip, for all folds, and stored as an additional modality. Each file is one kind.

A file defines FEATURES, a `Features`. It is found by its file name: there is no list to add it to.
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
    """A kind of features. `options` is a frozen dataclass of its keys in the config.

    `extract(options, fields, compute)` yields the id and an array of each clip, in the order of `fields`. The array's
    first axis runs along the clip. `prepare(options)` raises a UserError before anything is computed if what they start
    from, such as a file of weights, is missing or does not fit.
    """

    options: type
    extract: Callable[[Any, ClipFields, Compute], Iterator[tuple[str, np.ndarray]]]
    prepare: Callable[[Any], object] = lambda options: None


def find(kind: str) -> Features:
    """The features in the file `kind`; UserError if there are none."""
    known = sorted(item.name for item in pkgutil.iter_modules(__path__))
    if kind in known:
        features = getattr(importlib.import_module(f"{__name__}.{kind}"), "FEATURES", None)
        if isinstance(features, Features):
            return features
    raise UserError(f"features '{kind}' are unknown; allowed are {', '.join(known)}")
