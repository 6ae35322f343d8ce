"""The named configurations: what is written as Verilog, synthesised and characterised."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from amaranth.lib import wiring

from hw.adapter import LosslessReceiver, LosslessSender, QuantizingReceiver, QuantizingSender
from hw.adapter.quantizing import record_codebook
from hw.huffman import LinkEncoder, LinkShape
from hw.huffman.flit_buffer import most_words
from hw.huffman.lane_pool import LanePoolDecoder
from hw.huffman.speculative_decoder import SpeculativeDecoder
from hw.link_port import LinkReceiver, LinkTransmitter
from hw.link_port.flit_format import PAYLOAD_NBYTES
from hw.quantizer import Dequantizer, Quantizer
from hw.quantizer.record_packer import RecordPacker
from hw.quantizer.record_unpacker import RecordUnpacker
from linksim.codecs import Codebook, CodebookSet
from linksim.codecs.quantize import GroupQuantizer

LANE_POOL_MAX_LENGTH = 12
"""Lanes take code words of no more bits."""


@dataclass(frozen=True)
class Configuration:
    """A core with all of its parameters."""

    name: str
    kind: str
    """`encoder`, `decoder`, `quantizer` and so on: how it is fed and what it is compared with."""
    values_per_cycle: int
    build: Callable[[], wiring.Component]

    @property
    def module(self) -> str:
        """Name of the Verilog module."""
        return self.name.replace("-", "_")


def shipped_book(max_length: int = 16) -> Codebook:
    """The shipped codebook for bf16 exponents, which all Huffman configurations hold."""
    book = CodebookSet.shipped("universal").select("bf16", "exponent", "any")[0]
    return book if max_length == book.max_length else book.of_family("huffman", max_length)


def _encoder(width: int, max_length: int = 16) -> Configuration:
    def build() -> LinkEncoder:
        return LinkEncoder(codebooks=[shipped_book(max_length)], values_per_cycle=width)

    limit = "" if max_length == 16 else f"-limit{max_length}"
    return Configuration(f"huffman-encoder{limit}-w{width}", "encoder", width, build)


def _words_per_flit(width: int) -> int:
    """Words in which the encoder of the same width sends a flit."""
    shape = LinkShape.of(
        [shipped_book()], values_per_cycle=width, payload_nbytes=240, run_symbols=64
    )
    return most_words(shape)


def _speculative(width: int) -> Configuration:
    def build() -> SpeculativeDecoder:
        words = _words_per_flit(width)
        return SpeculativeDecoder(
            codebooks=[shipped_book()], values_per_cycle=width, words_per_flit=words
        )

    return Configuration(f"speculative-decoder-w{width}", "decoder", width, build)


def _lane_pool(width: int) -> Configuration:
    def build() -> LanePoolDecoder:
        book = shipped_book(LANE_POOL_MAX_LENGTH)
        return LanePoolDecoder(codebooks=[book], values_per_cycle=width)

    return Configuration(f"lane-pool-decoder-w{width}", "decoder", width, build)


INT4 = GroupQuantizer(bits=4, group=32)
"""Asymmetric codes of 4 bits in groups of 32, with a zero point."""


WITH_SPIKES = replace(INT4, spikes=True)
"""The same, with each group's smallest and largest value kept as it is."""


def _quantizer(width: int, definition: GroupQuantizer = INT4) -> Configuration:
    def build() -> Quantizer:
        return Quantizer(definition=definition, values_per_cycle=width)

    return Configuration(f"quantizer-{_named(definition)}-w{width}", "quantizer", width, build)


def _dequantizer(width: int, definition: GroupQuantizer = INT4) -> Configuration:
    def build() -> Dequantizer:
        return Dequantizer(definition=definition, values_per_cycle=width)

    return Configuration(f"dequantizer-{_named(definition)}-w{width}", "dequantizer", width, build)


def _named(definition: GroupQuantizer) -> str:
    spikes = "-spikes" if definition.spikes else ""
    return f"int{definition.bits}-g{definition.group}{spikes}"


def _link_shape() -> LinkShape:
    """Payloads of a link port's flits, in three words."""
    return LinkShape.of(
        [shipped_book()],
        values_per_cycle=32,
        payload_nbytes=PAYLOAD_NBYTES,
        run_symbols=64,
        words_per_flit=3,
    )


def _quantizing(end: type[QuantizingSender | QuantizingReceiver]) -> wiring.Component:
    return end(definition=INT4, codebooks=[record_codebook(INT4)], values_per_cycle=32)


PARTS = (
    Configuration(
        "record-packer-int4-g32-w32",
        "record",
        32,
        lambda: RecordPacker(definition=INT4, bytes_per_cycle=32),
    ),
    Configuration(
        "record-unpacker-int4-g32-w32",
        "record",
        32,
        lambda: RecordUnpacker(definition=INT4, bytes_per_cycle=32, values_per_cycle=32),
    ),
    Configuration("link-transmitter", "port", 32, lambda: LinkTransmitter(_link_shape())),
    Configuration("link-receiver", "port", 32, lambda: LinkReceiver(_link_shape())),
)
"""What stands between the cores in a whole end of a link."""

ENDS = (
    Configuration(
        "lossless-sender-w32",
        "end",
        32,
        lambda: LosslessSender(codebooks=[shipped_book()], values_per_cycle=32),
    ),
    Configuration(
        "lossless-receiver-w32",
        "end",
        32,
        lambda: LosslessReceiver(codebooks=[shipped_book()], values_per_cycle=32),
    ),
    Configuration("quantizing-sender-w32", "end", 32, lambda: _quantizing(QuantizingSender)),
    Configuration("quantizing-receiver-w32", "end", 32, lambda: _quantizing(QuantizingReceiver)),
)
"""Whole ends of a link, with flits of 256 bytes."""

CONFIGURATIONS = (
    *(_encoder(width) for width in (4, 8, 16, 32, 64)),
    _encoder(32, max_length=LANE_POOL_MAX_LENGTH),
    *(_speculative(width) for width in (8, 16, 32)),
    *(_lane_pool(width) for width in (8, 16, 32)),
    *(_quantizer(width) for width in (8, 16, 32)),
    *(_dequantizer(width) for width in (8, 16, 32)),
    _quantizer(32, WITH_SPIKES),
    _dequantizer(32, WITH_SPIKES),
    *PARTS,
    *ENDS,
)
"""Cores for flit payloads of 240 bytes with the shipped codebook for bf16 exponents and for groups
of 32, then what makes whole ends of a link of them."""


def names() -> tuple[str, ...]:
    """Names of the configurations, in their order."""
    return tuple(configuration.name for configuration in CONFIGURATIONS)


def selected(wanted: Iterable[str]) -> tuple[Configuration, ...]:
    """The configurations called *wanted*, in their own order; all of them where none is named.

    A text may hold several names with blanks between. ValueError for one that is not known.
    """
    chosen = {name for text in wanted for name in text.split()}
    unknown = sorted(chosen - set(names()))
    if unknown:
        raise ValueError(f"unknown core {unknown[0]!r}: expected one of {', '.join(names())}")
    return tuple(known for known in CONFIGURATIONS if not chosen or known.name in chosen)
