"""Quantized collectives (Flash Communication, arXiv 2412.04964): their values, bytes and errors."""

from linksim.flash.collectives import CodedCollective, CodedMessage, all_reduce, coded
from linksim.flash.quantizers import FloatGroups

__all__ = ["CodedCollective", "CodedMessage", "FloatGroups", "all_reduce", "coded"]
