"""Two codecs in a row: the group quantizer, and Huffman coding of its codes with fixed codebooks.

A message is that of `quantize` (`linksim.codecs.quantized`) with the flag "the codes are coded" and
another body:

    ...    the metadata of all groups that hold values, as in their records
    ...    the bulk message of `huffman-fixed` of the n symbols

A symbol of b bits is the code less the group's zero point, modulo 2**b, so that 0 is always symbol
0; with zero "min" it is the code itself. Where this is no shorter, the message is the plain one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.base import Segments
from linksim.codecs.codebook import Codebook
from linksim.codecs.fixed import HuffmanFixed
from linksim.codecs.quantize import GroupQuantizer, QuantizedGroups
from linksim.codecs.quantize.realisations import COMPILED, QuantizerRealisation
from linksim.codecs.quantized import HAS_CODED_CODES, QuantizedMessages
from linksim.errors import LinksimError
from linksim.tensors.dtypes import Tensor, coded_format, number_format
from linksim.tensors.views import SymbolView, symbol_view
from linksim.units import ceil_div

Bytes = NDArray[np.uint8]


def code_view(bits: int) -> SymbolView:
    """The view under which codebooks for codes of *bits* bits are made."""
    return symbol_view("pooled", coded_format(f"uint{bits}"))


def symbols_of(quantizer: GroupQuantizer, groups: QuantizedGroups, count: int) -> Bytes:
    """What is Huffman coded of *groups* of *count* values, uint8 [count]."""
    codes = groups.codes
    if quantizer.has_zero_point:
        codes = (codes - groups.zero[:, None].astype(np.uint8)) & np.uint8(quantizer.top_code)
    return np.ascontiguousarray(codes).reshape(-1)[:count]


def quantized_symbols(
    quantizer: GroupQuantizer, values: Tensor, realisation: QuantizerRealisation = COMPILED
) -> Bytes:
    """The symbols of bf16 *values*, of which a codebook for later tensors can be made."""
    patterns = number_format("bf16").patterns(values)
    return symbols_of(quantizer, realisation.quantize(quantizer, patterns), len(patterns))


class QuantizeHuffman(QuantizedMessages):
    """The group quantizer, its codes Huffman coded with the best of the given codebooks.

    *codebooks* (1 to 31) are for number format `uint<bits>`, from symbols of earlier tensors
    (`quantized_symbols`); a book of another quantizer of as many bits only costs size. Every chunk
    of 8192 codes takes the best book.
    """

    codec_id = "quantize+huffman-fixed"
    takes_codebooks = True

    def __init__(
        self,
        codebooks: Sequence[Codebook | dict[str, Any]],
        dtype: str = "bf16",
        bits: int = 4,
        group: int = 128,
        zero: str = "point",
        spikes: bool = False,
        checksum: bool = False,
    ):
        super().__init__(dtype, bits, group, zero, spikes, checksum)
        self.code = HuffmanFixed(codebooks)
        if self.code.dtype != f"uint{bits}":
            raise LinksimError(
                f"codec {self.codec_id}: codebooks for {self.code.dtype}: expected uint{bits}, "
                f"for codes of {bits} bits"
            )

    def get_config(self) -> dict[str, Any]:
        """The configuration, codebooks and all."""
        return {**super().get_config(), "codebooks": self.code.get_config()["codebooks"]}

    def encode(self, buf: Any) -> bytes:
        """The message of bf16 values of any shape."""
        count, groups = self._quantized(buf)
        layout = self.quantizer.records
        body = layout.pack_metadata(groups)
        body += self.code.encode(symbols_of(self.quantizer, groups, count))
        if len(body) >= self.quantizer.packed_nbytes(count):
            plain = self.realisation.encode(self.quantizer, self.patterns(buf))
            return self._message(count, 0, plain)
        return self._message(count, HAS_CODED_CODES, body)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The values of a message, flat; see `docs/quantizer.md` for what is refused."""
        try:
            count, flags, body = self._read(bytes(buf), HAS_CODED_CODES)
            if flags & HAS_CODED_CODES:
                patterns = self._decode(body, count)
            else:
                patterns = self.realisation.decode(self.quantizer, body, count)
        except LinksimError as error:
            raise LinksimError(f"codec {self.codec_id}: {error}") from None
        return self._finished(patterns, out)

    def _decode(self, body: bytes, count: int) -> NDArray[np.uint16]:
        quantizer, layout = self.quantizer, self.quantizer.records
        used = ceil_div(count, quantizer.group)
        metadata_nbytes = used * layout.metadata_bits // 8
        if len(body) >= quantizer.packed_nbytes(count) or len(body) < metadata_nbytes:
            raise LinksimError(
                f"{len(body)} bytes of coded codes: expected {metadata_nbytes} or more and less "
                f"than {quantizer.packed_nbytes(count)} for {count} values"
            )
        fields = layout.metadata_fields(body[:metadata_nbytes])
        symbols = self.code.decode(body[metadata_nbytes:])
        if len(symbols) != count:
            raise LinksimError(f"{len(symbols)} codes: expected {count}")
        padded = np.zeros(used * quantizer.group, np.uint8)
        padded[:count] = symbols
        codes = padded.reshape(used, quantizer.group)
        if quantizer.has_zero_point:
            zero = fields["zero"][:, None].astype(np.uint8)
            codes = (codes + zero) & np.uint8(quantizer.top_code)
        groups = layout.groups_of(fields, codes)
        return self.realisation.dequantize(quantizer, groups, count)

    def segments(self, values: Tensor) -> Segments:
        """Chunks with the metadata of their groups, then header and index; or as `quantize`.

        Header and index come last because a sender knows them last, as in `huffman-fixed`.
        """
        count, groups = self._quantized(values)
        coded = self.code.segments(symbols_of(self.quantizer, groups, count))
        metadata_nbytes = self.quantizer.records.metadata_bits // 8
        chunks = len(coded.wire_nbytes) - 1
        held = np.full(chunks, self.code.chunk_symbols, np.int64)
        held[-1:] -= chunks * self.code.chunk_symbols - count
        wire = coded.wire_nbytes.copy()
        wire[:-1] += -(-held // self.quantizer.group) * metadata_nbytes
        if wire.sum() >= self.quantizer.packed_nbytes(count):
            return self._plain_segments(count)
        wire[-1] += self.head_nbytes
        return Segments(np.append(2 * held, 0), wire)

    def framing_nbytes(self, values: Tensor) -> int:
        """All but the codes: header, checksum, metadata, and what frames the coded codes."""
        count, groups = self._quantized(values)
        symbols = symbols_of(self.quantizer, groups, count)
        metadata_nbytes = len(groups) * self.quantizer.records.metadata_bits // 8
        coded_nbytes = self.code.encoded_nbytes(symbols)
        if metadata_nbytes + coded_nbytes >= self.quantizer.packed_nbytes(count):
            plain = self.quantizer.packed_nbytes(count)
            return self.head_nbytes + plain - ceil_div(count * self.quantizer.bits, 8)
        return self.head_nbytes + metadata_nbytes + self.code.framing_nbytes(symbols)

    def _quantized(self, values: Any) -> tuple[int, QuantizedGroups]:
        patterns = self.patterns(values)
        return len(patterns), self.realisation.quantize(self.quantizer, patterns)
