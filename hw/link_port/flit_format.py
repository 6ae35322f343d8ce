"""The 256-byte flit of UCIe's format 6: header, payload, two checksums; its Python model."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.lib import data

from linksim.links.crc import block_checksum

FLIT_NBYTES = 256
WORD_NBYTES = 64
WORDS = FLIT_NBYTES // WORD_NBYTES
HEADER_NBYTES = 2
CHECKSUM_NBYTES = 2
PAYLOAD_PIECES = (62, 62, 64, 62)
"""Payload bytes of every word. Word 0 begins with the header, words 1 and 3 end with a checksum
(UCIe Specification 3.0, chapter 3, latency-optimised 256 B flit with optional bytes)."""
PAYLOAD_NBYTES = sum(PAYLOAD_PIECES)


def flit_header_layout() -> data.StructLayout:
    """The two header bytes: message boundaries and the flit's number.

    The specification's adapter puts its own fields there; these are what a stream of messages
    needs of them. first, last: a message begins or ends with the flit. number: counts flits modulo
    256.
    """
    return data.StructLayout({"first": 1, "last": 1, "reserved": 6, "number": 8})


@dataclass(frozen=True)
class Flit:
    """What a flit says."""

    payload: bytes
    number: int
    first: bool
    last: bool


def framed(flit: Flit) -> bytes:
    """The 256 bytes of *flit*. ValueError for a payload that is not 250 bytes."""
    if len(flit.payload) != PAYLOAD_NBYTES:
        raise ValueError(f"a payload of {len(flit.payload)} bytes: expected {PAYLOAD_NBYTES}")
    header = bytes([flit.first | flit.last << 1, flit.number])
    half = sum(PAYLOAD_PIECES[:2])
    halves = (header + flit.payload[:half], flit.payload[half:])
    return b"".join(body + block_checksum(body) for body in halves)


def unframed(flit: bytes) -> Flit | None:
    """What 256 bytes say; None where a checksum is not that of its half."""
    halves = (flit[: FLIT_NBYTES // 2], flit[FLIT_NBYTES // 2 :])
    if any(block_checksum(half[:-CHECKSUM_NBYTES]) != half[-CHECKSUM_NBYTES:] for half in halves):
        return None
    body = b"".join(half[:-CHECKSUM_NBYTES] for half in halves)
    return Flit(body[HEADER_NBYTES:], body[1], bool(body[0] & 1), bool(body[0] & 2))
