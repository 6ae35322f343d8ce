"""Quantized collectives (Flash Communication, arXiv 2412.04964): their values, bytes and errors."""

from linksim.flash.collectives import CodedCollective, CodedMessage, all_reduce, coded

__all__ = ["CodedCollective", "CodedMessage", "all_reduce", "coded"]
