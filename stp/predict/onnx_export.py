"""Export: a trained run's network as an ONNX file, checked against torch with onnxruntime."""

import json
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from stp.config import is_flow
from stp.errors import UserError
from stp.models.pyramid import TemporalPyramidNetwork
from stp.models.segment_network import SegmentNetwork
from stp.predict.ensemble import Model, load_model
from stp.system.files import complete_file
from stp.system.logs import only_warnings
from stp.system.versions import versions
from stp.training.run import image_channels

OPSET = 18
TOLERANCE = 1e-4  # largest difference from torch, relative to the largest score
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


class SegmentsAlone(nn.Module):
    """A run's network for single segments: float (B, K, C, H, W), 0..255 -> scores (B, classes)."""

    def __init__(self, network: SegmentNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.network(images.unsqueeze(1)).squeeze(1)
        return scores


def input_shape(model: Model) -> tuple[int, int, int, int]:
    """(K, C, H, W) of a segment's images."""
    sampler, size = model.scorer.sampler, model.run.options.input_size
    return sampler.subsegments, image_channels(model.run.name, sampler.columns), size, size


def random_segments(model: Model, number: int) -> Tensor:
    """Segments of random bytes as float32 (number, K, C, H, W)."""
    shape = (number, *input_shape(model))
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(number)).float()


def metadata(model: Model, fields: Mapping[str, object]) -> dict[str, str]:
    """The metadata of an ONNX file; all values but plain text are JSON."""
    kinds = {"rgb": "red, green, blue", "flow": "x, y of flow fields in order, 128 is no motion"}
    colours = ", then ".join(
        f"{kinds['flow' if is_flow(name) else 'rgb']} ({columns} of {name})"
        for name, columns in zip(model.run.name.modalities, model.scorer.sampler.columns, strict=True)
    )
    run, network, sampler = model.run, model.scorer.network, model.scorer.sampler
    levels = len(network.parts) if isinstance(network, TemporalPyramidNetwork) else 1
    variant = {"name": run.name.method, **vars(sampler), "levels": levels}
    starts = sampler.spread(1 << 20, 1)[0, :, 0]  # starts of the sub-segments of one segment in a long clip
    values = {
        "classes": run.classes,
        "modality": model.input,
        "variant": variant,
        "subsegment_starts": (starts - starts[0]).tolist(),
        "scored_field": sampler.scored_field,
        "run": str(run.name),
        "fields": fields,
        "versions": versions() | {name: version(name) for name in PACKAGES},
    }
    words = f"float32 (segments, sub-segments, channels, height, width), values 0..255; channels: {colours}"
    return {"input": words, "output": "scores before softmax"} | {k: json.dumps(v) for k, v in values.items()}


def to_onnx(network: SegmentsAlone, model: Model, properties: dict[str, str]) -> bytes:
    """The network as the content of an ONNX file with any number of segments."""
    import onnx

    program = torch.onnx.export(
        network,
        (random_segments(model, 2),),
        dynamo=True,
        opset_version=OPSET,
        input_names=["images"],
        output_names=["scores"],
        dynamic_shapes={"images": {0: torch.export.Dim("segments")}},
        verbose=False,
    )
    assert program is not None
    proto = program.model_proto
    onnx.helper.set_model_props(proto, properties)
    onnx.checker.check_model(proto)
    content: bytes = proto.SerializeToString()
    return content


def difference(content: bytes, network: SegmentsAlone, model: Model) -> float:
    """Largest difference of onnxruntime's scores from torch's, relative to torch's largest, for 1 and 3 segments."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    worst = 0.0
    for number in (1, 3):
        images = random_segments(model, number)
        with torch.inference_mode():
            expected = network(images).numpy()
        (found,) = session.run(["scores"], {"images": images.numpy()})
        worst = max(worst, float(np.abs(found - expected).max() / np.abs(expected).max()))
    return worst


def export_onnx(path: Path, output: Path) -> float:
    """Write a trained run as ONNX; returns the `difference` from torch.

    Raises:
        UserError: a package is missing, or the difference is above TOLERANCE. Nothing is written then.
    """
    try:
        for name in PACKAGES:
            __import__(name)
    except ImportError as error:
        raise UserError(f"export: package {error.name} is missing; pip install 'stp[export]'") from None
    model, file = load_model(path)
    network = SegmentsAlone(model.scorer.network).eval()
    fields = file.fields()
    properties = metadata(model, fields.get(model.input, fields))
    with only_warnings("onnxscript", "onnx_ir"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # raised by torch's own code
        warnings.filterwarnings("ignore", "The tensor attributes .* were assigned during export")  # those of an LSTM
        content = to_onnx(network, model, properties)
    worst = difference(content, network, model)
    if not worst <= TOLERANCE:
        raise UserError(
            f"export: onnxruntime's scores of {path} differ from torch's by {worst:.1e} of their size, more than "
            f"{TOLERANCE:.0e}; nothing is written"
        )
    with complete_file(output) as temporary:
        temporary.write_bytes(content)
    return worst
