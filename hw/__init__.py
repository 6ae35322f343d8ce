"""Cores in Amaranth that write and read linksim's wire format.

Everything here is built from the codebooks of `linksim.codecs` and proven against its codecs;
linksim itself imports nothing from here.
"""
