"""Group quantizer: bf16 values to codes of 2 to 8 bits with a scale per group, and back."""

from linksim.codecs.quantize.definition import GroupQuantizer
from linksim.codecs.quantize.groups import QuantizedGroups, Spikes

__all__ = ["GroupQuantizer", "QuantizedGroups", "Spikes"]
