"""TV-L1 optical flow and its storage as bytes."""

from stp.flow.estimate import available_backends, resolve_backend, tvl1
from stp.flow.parameters import TVL1Parameters
from stp.flow.quantisation import bound_of, dequantise, quantise

__all__ = ["TVL1Parameters", "available_backends", "bound_of", "dequantise", "quantise", "resolve_backend", "tvl1"]
