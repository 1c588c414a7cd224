"""Recognising micro actions in video with a segment-level temporal pyramid (Mi and Wang).

What a script or a notebook needs is here by name, and docs/python.md shows its use. A name loads its module when it is
first asked for, so that `import stp` takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"
_HOMES = {
    "ClipDataset": "stp.training.clip_dataset",
    "ClipFields": "stp.data.shards",
    "SegmentSampler": "stp.sampling.segments",
    "TVL1Parameters": "stp.flow",
    "TrainedRun": "stp.predict.trained_run",
    "UserError": "stp.errors",
    "build_backbone": "stp.models.backbones",
    "dequantise": "stp.flow",
    "load_run": "stp.predict.trained_run",
    "pyramid_network": "stp.models.pyramid",
    "quantise": "stp.flow",
    "read_index": "stp.data.index",
    "read_score_table": "stp.evaluation.prediction_table",
    "read_scores": "stp.evaluation.scores",
    "tvl1": "stp.flow",
}

if TYPE_CHECKING:
    from stp.data.index import read_index
    from stp.data.shards import ClipFields
    from stp.errors import UserError
    from stp.evaluation.prediction_table import read_score_table
    from stp.evaluation.scores import read_scores
    from stp.flow import TVL1Parameters, dequantise, quantise, tvl1
    from stp.models.backbones import build_backbone
    from stp.models.pyramid import pyramid_network
    from stp.predict.trained_run import TrainedRun, load_run
    from stp.sampling.segments import SegmentSampler
    from stp.training.clip_dataset import ClipDataset
else:

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'stp' has no attribute '{name}'")
        return getattr(import_module(_HOMES[name]), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES})


__all__ = [
    "ClipDataset",
    "ClipFields",
    "SegmentSampler",
    "TVL1Parameters",
    "TrainedRun",
    "UserError",
    "__version__",
    "build_backbone",
    "dequantise",
    "load_run",
    "pyramid_network",
    "quantise",
    "read_index",
    "read_score_table",
    "read_scores",
    "tvl1",
]
