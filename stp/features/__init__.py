"""Features are computed once per clip, for all folds, and stored as an additional modality. Each file is one kind.

A file defines FEATURES, a `Features`. It is found by its file name: there is no list to add it to.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stp.config import FEATURE_SOURCES
from stp.data.shards import ClipFields
from stp.errors import UserError
from stp.system.devices import Compute


@dataclass(frozen=True)
class Features:
    """A kind of features. `options` is a frozen dataclass of its keys in the config.

    `extract(options, sources, compute)` yields the id and an array of each clip, in the order of the sources, which are
    the stored fields by modality: of a single one, or of those in `stp.config.FEATURE_SOURCES`. The array's first axis
    runs along the clip. `prepare(options)` raises a UserError before anything is computed if what they start
    from, such as a file of weights, is missing or does not fit.
    """

    options: type
    extract: Callable[[Any, Mapping[str, ClipFields], Compute], Iterator[tuple[str, np.ndarray]]]
    prepare: Callable[[Any], object] = lambda options: None


def find(kind: str) -> Features:
    """The features in the file `kind`; UserError if there are none."""
    known = sorted(item.name for item in pkgutil.iter_modules(__path__))
    if kind in known:
        features = getattr(importlib.import_module(f"{__name__}.{kind}"), "FEATURES", None)
        if isinstance(features, Features):
            return features
    raise UserError(f"features '{kind}' are unknown; allowed are {', '.join(known)}")


def stored_as(kind: str, sources: Mapping[str, ClipFields]) -> tuple[str, dict[str, Any]]:
    """The modality that a kind of features is stored as, and the parameters of the fields that they are made from.

    Raises:
        UserError: the stored fields, by modality, are not those that these features are made from, or have other clips.
    """
    given = ", ".join(sources) or "none"
    if kind not in FEATURE_SOURCES:
        if len(sources) != 1:
            raise UserError(f"features '{kind}' are made from one modality; the shards given are of {given}")
        ((modality, fields),) = sources.items()
        return f"{kind}-{modality}", fields.parameters
    if not sources or not set(sources) <= set(FEATURE_SOURCES[kind]):
        raise UserError(
            f"features '{kind}' are made from {', '.join(FEATURE_SOURCES[kind])}; the shards given are of {given}"
        )
    if len({tuple(sorted(fields.clips())) for fields in sources.values()}) > 1:
        raise UserError(f"features '{kind}': the shards of {given} hold different clips; give those of the same shards")
    return kind, {modality: fields.parameters for modality, fields in sorted(sources.items())}
