"""Whole ends of a compressing die-to-die link, as one component each."""

from hw.adapter.lossless import LosslessReceiver, LosslessSender
from hw.adapter.quantizing import QuantizingReceiver, QuantizingSender

__all__ = ["LosslessReceiver", "LosslessSender", "QuantizingReceiver", "QuantizingSender"]
