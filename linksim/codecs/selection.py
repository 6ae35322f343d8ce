"""Which codec object a tensor gets: the codebooks for its format, view and kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import cast

import numpy as np
from numpy.typing import NDArray

from linksim.codecs import codec_class
from linksim.codecs.base import TensorCodec
from linksim.codecs.book_fitting import fit_books, scale_step
from linksim.codecs.codebook import Codebook, CodebookSet, build_codebook
from linksim.codecs.composed import QuantizeHuffman, code_view, quantized_symbols
from linksim.codecs.fixed import FixedCodec
from linksim.codecs.quantize import GroupQuantizer
from linksim.codecs.quantized import Quantize
from linksim.codecs.rivals import LibraryCodec
from linksim.codecs.specification import CodecSpecification
from linksim.codecs.three_stage import HuffmanThreeStage
from linksim.errors import LinksimError
from linksim.tensors.dtypes import NumberFormat, Tensor, format_of
from linksim.tensors.histograms import Histogram, histogram
from linksim.tensors.views import SymbolView, symbol_view

Symbols = NDArray[np.uint8]


@dataclass
class CodecChooser:
    """Makes the codec for a tensor: same codec, view and profile, books by the tensor's kind."""

    codec: str
    """The codec as `CodecSpecification.parse` takes it: its id, with options or without."""
    view: str = "exponent"
    profile: str = "bulk"
    exponent_bias: bool = False
    books: CodebookSet | None = None
    payload_nbytes: int = 240
    """Flit payload, for the link profile."""
    _others: dict[str, TensorCodec] = field(default_factory=dict)
    _made: dict[tuple[str, str, int | None], TensorCodec] = field(default_factory=dict)

    @property
    def specification(self) -> CodecSpecification:
        """The codec's id and options."""
        return CodecSpecification.parse(self.codec)

    def view_of(self, fmt: NumberFormat) -> SymbolView:
        """The view for a number format: formats of at most 8 bits have `pooled` alone."""
        return symbol_view(self.view if fmt.bits == 16 else "pooled", fmt)

    @property
    def quantizer(self) -> GroupQuantizer | None:
        """Whose codes the codebooks are for; none where they are for the values themselves."""
        if not issubclass(codec_class(self.codec), QuantizeHuffman):
            return None
        return cast(Quantize, self.specification.make(Quantize)).quantizer

    def symbols_of(self, values: Tensor) -> tuple[Symbols, SymbolView]:
        """What is coded of *values* with a codebook, and the view that the book is for."""
        quantizer, view = self.quantizer, self.view_of(format_of(values))
        if quantizer is None:
            return view.split(values)[0], view
        return quantized_symbols(quantizer, values), code_view(quantizer.bits)

    def codec_for(
        self, name: str, kind: str, layer: int | None, values: Tensor
    ) -> tuple[TensorCodec, SymbolView]:
        """The codec and view for tensor *name* of *kind* in *layer*."""
        view = self.view_of(format_of(values))
        if name in self._others:
            return self._others[name], view
        key = (view.fmt.name, kind, layer)
        if key not in self._made:
            self._made[key] = self._make(view, kind, layer)
        return self._made[key], view

    def _make(self, view: SymbolView, kind: str, layer: int | None) -> TensorCodec:
        codec, dtype = codec_class(self.codec), view.fmt.name
        make = self.specification.make
        if codec.takes_codebooks:
            return self._with_books(self._books(view, kind, layer))
        if issubclass(codec, LibraryCodec):
            self._refuse_link()
            return make(codec, dtype=dtype, view=view.name)
        if issubclass(codec, HuffmanThreeStage):
            return make(
                codec,
                dtype=dtype,
                view=view.name,
                profile=self.profile,
                payload_nbytes=self.payload_nbytes,
            )
        if not codec.lossless:
            self._refuse_link()
        return make(codec, dtype=dtype)

    def _books(self, view: SymbolView, kind: str, layer: int | None) -> Sequence[Codebook]:
        if self.books is None:
            raise LinksimError(
                f"codec {self.specification.codec_id} needs codebooks: give --codebooks FILE "
                "(linksim codebook build makes one)"
            )
        if self.quantizer is not None:
            view = code_view(self.quantizer.bits)
        return self.books.select(view.fmt.name, view.name, kind, layer)

    def _with_books(self, books: Sequence[Codebook]) -> TensorCodec:
        codec, make = codec_class(self.codec), self.specification.make
        if not issubclass(codec, FixedCodec):
            self._refuse_link()
            return make(codec, codebooks=books)
        return make(
            codec,
            codebooks=books,
            profile=self.profile,
            payload_nbytes=self.payload_nbytes,
            exponent_bias=self.exponent_bias,
        )

    def _refuse_link(self) -> None:
        if self.profile == "link":
            name = self.specification.codec_id
            raise LinksimError(f"codec {name} has no link profile: use --profile bulk")

    def leave_one_out(self, tensors: Sequence[tuple[str, Tensor]]) -> None:
        """Give every tensor of *tensors* a book from all the others of its format.

        Shows how a codebook travels to tensors it has not seen, so copies of the tensor itself do
        not count as others; needs two different tensors per format. With an exponent bias the book
        is a scale-free one, else the plain average.
        """
        counted: dict[str, list[tuple[str, bytes, Histogram]]] = {}
        views: dict[str, SymbolView] = {}
        for name, values in tensors:
            symbols, view = self.symbols_of(values)
            counts = histogram(symbols, view.alphabet)
            content = sha256(np.ascontiguousarray(values).tobytes()).digest()
            counted.setdefault(view.fmt.name, []).append((name, content, counts))
            views[view.fmt.name] = view
        for dtype, entries in counted.items():
            if len({content for _, content, _ in entries}) < 2:
                raise LinksimError(f"--codebooks others: {dtype} has one tensor: expected two")
            for name, own, _ in entries:
                rest = [counts for _, content, counts in entries if content != own]
                self._others[name] = self._with_books([self._book_of(name, views[dtype], rest)])

    def _book_of(self, name: str, view: SymbolView, histograms: list[Histogram]) -> Codebook:
        if self.exponent_bias and scale_step(view):
            filled = [counts for counts in histograms if counts.any()]
            return fit_books(f"others-than-{name}", view, filled, kind="others").books[0]
        return build_codebook(f"others-than-{name}", view, "others", histograms)
