"""A backbone in float32 and images like those to come in; one of fewer bits, with what that costs and gains, out."""

from featx.quantize.quantizing import LEAST_AGREEMENT, Quantization, quantize_backbone
from featx.quantize.tries import Try

__all__ = ["LEAST_AGREEMENT", "Quantization", "Try", "quantize_backbone"]
