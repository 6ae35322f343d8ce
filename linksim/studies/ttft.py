"""Time to first token with quantized and lossless all-reduces, and the sizes from which they pay.

For every box and format: the all-reduce of every size, its time against the library's in bf16, the
smallest size from which it is faster, and the time to first token of every model. Nothing here is
fitted to what the papers claim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

from linksim.codecs.quantize import GroupQuantizer
from linksim.errors import LinksimError
from linksim.prefill import (
    Box,
    FirstToken,
    HierarchicalSum,
    LibrarySum,
    Method,
    Prompts,
    TwoStepSum,
    all_reduce_ps,
    all_to_all_ps,
    box,
    first_token,
    lossless_method,
    model_card,
)
from linksim.studies.ttft_claims import CLAIMS
from linksim.traces.store import Trace

BOXES = ("l40-4-host", "l40-4-wire", "a100-4", "a100-8", "h100-4", "h100-8")
MODELS = ("llama-3-70b", "llama-3-8b", "gemma-2-2b", "gemma-2-9b", "gemma-2-27b")
WIDTHS = (8, 6, 5, 4, 3, 2)
"""Bits of the formats; 2 with spikes reserved."""
PLAIN, LOSSLESS = "bf16", "Huffman"
SIDES = " sides"
"""Behind the name of a format that is summed in the sides of a box and across them."""
SIZES = tuple(1 << exponent for exponent in range(14, 29))
"""16 KiB to 256 MiB."""
MATMUL_SHARES = (0.5, 0.7, 0.9)
"""Of the peak, for the table of what the assumption does."""

Progress = Callable[[str], None]
"""Called with what is simulated next."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is studied. LinksimError for an empty list, an unknown model, a figure out of range."""

    boxes: tuple[str, ...] = BOXES
    models: tuple[str, ...] = MODELS
    sizes: tuple[int, ...] = SIZES
    prompts: Prompts = field(default_factory=Prompts)
    group: int = 128
    """Values that share a scale."""
    engine: str = "single-stage-w32"
    """Of the lossless codec, in as many copies as a link needs."""
    overlap: float = 0.0
    matmul_share: float | None = None
    """Instead of the GPU cards'."""

    def __post_init__(self) -> None:
        for name in ("boxes", "models", "sizes"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise LinksimError(f"{name}: {list(values)}: expected one or more, each once")
        if list(self.sizes) != sorted(self.sizes):
            raise LinksimError(f"sizes: {list(self.sizes)}: expected them rising")
        if not 0 <= self.overlap <= 1:
            raise LinksimError(f"overlap: {self.overlap}: expected a share from 0 to 1")
        for bits in WIDTHS:
            quantizer(bits, self.group)
        for name in self.models:
            model_card(name)


@dataclass(frozen=True)
class Timing:
    """One all-reduce."""

    box: str
    format: str
    nbytes: int
    """Of the bf16 tensor that every GPU has."""
    time_ps: int
    plain_ps: int
    """The library's, in bf16."""

    @property
    def speedup(self) -> float:
        """How often as fast as the library in bf16."""
        return self.plain_ps / self.time_ps


def smallest_paying(swept: Sequence[Timing]) -> int | None:
    """Smallest size of *swept* from which on a format is faster than bf16; None: nowhere."""
    smallest = None
    for timing in sorted(swept, key=lambda timing: -timing.nbytes):
        if timing.time_ps >= timing.plain_ps:
            break
        smallest = timing.nbytes
    return smallest


@dataclass(frozen=True)
class FirstTokenRow:
    """A model on a box with one format."""

    box: str
    model: str
    format: str
    found: FirstToken
    plain: FirstToken
    """With the library in bf16."""

    @property
    def speedup(self) -> float:
        """How often as fast as with the library in bf16."""
        return self.plain.total_ps / self.found.total_ps


@dataclass(frozen=True)
class TtftStudy:
    """All that was found."""

    options: Options
    coded_share: Fraction
    """Of the lossless codec: coded bytes per byte on the trace's all-reduces."""
    trace_name: str
    bits_per_value: dict[str, float]
    """By format."""
    timings: tuple[Timing, ...]
    """All-reduces of the swept sizes."""
    first_tokens: tuple[FirstTokenRow, ...]
    all_to_alls: tuple[Timing, ...]
    """Of the largest swept size."""
    shares: tuple[tuple[str, float, float], ...]
    """Box, share of the matrix peak, share of communication in the first model's bf16 prefill."""

    def pays_from(self, box_name: str, fmt: str) -> int | None:
        """Smallest swept size from which on *fmt* is faster than bf16 on the box; None: nowhere."""
        swept = [t for t in self.timings if (t.box, t.format) == (box_name, fmt)]
        return smallest_paying(swept)

    def formats(self, box_name: str) -> tuple[str, ...]:
        """The formats of a box, bf16 first."""
        return tuple(dict.fromkeys(t.format for t in self.timings if t.box == box_name))

    def document(self) -> dict[str, Any]:
        """All figures, JSON-able. Times in ps."""
        return {
            "options": asdict(self.options),
            "trace": self.trace_name,
            "lossless_coded_share": float(self.coded_share),
            "bits_per_value": self.bits_per_value,
            "first_tokens": [_token_document(row) for row in self.first_tokens],
            "all_reduces": [_timing_document(timing) for timing in self.timings],
            "all_to_alls": [_timing_document(timing) for timing in self.all_to_alls],
            "pays_from_nbytes": {
                name: {fmt: self.pays_from(name, fmt) for fmt in self.formats(name)[1:]}
                for name in self.options.boxes
            },
            "communication_share_by_matmul_share": [
                {"box": name, "matmul_share": peak, "communication_share": round(share, 6)}
                for name, peak, share in self.shares
            ],
            "claims": [asdict(claim) for claim in CLAIMS],
        }


def _timing_document(timing: Timing) -> dict[str, Any]:
    return {**asdict(timing), "speedup": round(timing.speedup, 6)}


def _token_document(row: FirstTokenRow) -> dict[str, Any]:
    return {
        "box": row.box,
        "model": row.model,
        "format": row.format,
        **asdict(row.found),
        "total_ps": row.found.total_ps,
        "communication_share": round(row.found.communication_share, 6),
        "speedup": round(row.speedup, 6),
    }


def quantizer(bits: int, group: int) -> GroupQuantizer:
    """The study's quantizer of *bits* bits: 2 bits come with spikes reserved."""
    return GroupQuantizer(bits=bits, group=group, spikes=bits == 2)


def format_name(bits: int) -> str:
    """`INT4`, and `INT2+SR` for 2 bits with spikes reserved."""
    return f"INT{bits}" + ("+SR" if bits == 2 else "")


def methods(where: Box, options: Options, coded_share: Fraction) -> dict[str, Method]:
    """The ways to sum on box *where*, by format; bf16 first."""
    found: dict[str, Method] = {PLAIN: LibrarySum()}
    for bits in WIDTHS:
        name = format_name(bits)
        found[name] = TwoStepSum(name=name, quantizer=quantizer(bits, options.group))
    if len(where.sides) > 1:
        for bits in WIDTHS:
            name = format_name(bits) + SIDES
            found[name] = HierarchicalSum(name=name, quantizer=quantizer(bits, options.group))
    found[LOSSLESS] = lossless_method(LOSSLESS, where, coded_share, options.engine)
    return found


def ttft_study(
    options: Options, trace: Trace, coded_share: Fraction, progress: Progress | None = None
) -> TtftStudy:
    """Simulate everything. *coded_share* of the lossless codec was measured on *trace*."""
    boxes = [box(name, matmul_share=options.matmul_share) for name in options.boxes]
    tell = progress or (lambda what: None)
    timings: list[Timing] = []
    tokens: list[FirstTokenRow] = []
    exchanged: list[Timing] = []
    shares: list[tuple[str, float, float]] = []
    for where in boxes:
        known = methods(where, options, coded_share)
        times = _times(where, known, options, tell)
        timings += _swept(where, known, options.sizes, times)
        tokens += _first_tokens(where, known, options, times)
        exchanged += _all_to_alls(where, known, options.sizes[-1])
        shares += _shares(where, options, times)
    bits = {format_name(b): quantizer(b, options.group).bits_per_value for b in WIDTHS}
    bits |= {PLAIN: 16.0, LOSSLESS: float(16 * coded_share)}
    return TtftStudy(
        options,
        coded_share,
        trace.manifest.name,
        bits,
        tuple(timings),
        tuple(tokens),
        tuple(exchanged),
        tuple(shares),
    )


def _model_nbytes(options: Options) -> dict[str, int]:
    return {
        name: model_card(name).all_reduce_nbytes(options.prompts.total) for name in options.models
    }


def _times(
    where: Box, known: dict[str, Method], options: Options, tell: Progress
) -> dict[tuple[str, int], int]:
    """Simulated time by format and size, of all swept sizes and all models' messages."""
    sizes = sorted({*options.sizes, *_model_nbytes(options).values()})
    times = {}
    for name, method in known.items():
        tell(f"{where.name}, {name}")
        for nbytes in sizes:
            times[name, nbytes] = all_reduce_ps(where, method, nbytes)
    return times


def _swept(
    where: Box,
    known: dict[str, Method],
    sizes: Sequence[int],
    times: dict[tuple[str, int], int],
) -> Iterator[Timing]:
    for name in known:
        for nbytes in sizes:
            yield Timing(where.name, name, nbytes, times[name, nbytes], times[PLAIN, nbytes])


def _first_tokens(
    where: Box, known: dict[str, Method], options: Options, times: dict[tuple[str, int], int]
) -> Iterator[FirstTokenRow]:
    for model_name, nbytes in _model_nbytes(options).items():
        model = model_card(model_name)
        found = {
            name: first_token(
                model, where, options.prompts, times[name, nbytes], overlap=options.overlap
            )
            for name in known
        }
        for name, one in found.items():
            yield FirstTokenRow(where.name, model_name, name, one, found[PLAIN])


def _all_to_alls(where: Box, known: dict[str, Method], nbytes: int) -> Iterator[Timing]:
    plain_ps = all_to_all_ps(where, LibrarySum(), nbytes)
    yield Timing(where.name, PLAIN, nbytes, plain_ps, plain_ps)
    for name, method in known.items():
        if isinstance(method, TwoStepSum):
            time_ps = all_to_all_ps(where, method, nbytes)
            yield Timing(where.name, name, nbytes, time_ps, plain_ps)


def _shares(
    where: Box, options: Options, times: dict[tuple[str, int], int]
) -> Iterator[tuple[str, float, float]]:
    name, nbytes = next(iter(_model_nbytes(options).items()))
    for share in MATMUL_SHARES:
        other = box(where.name, matmul_share=share)
        found = first_token(model_card(name), other, options.prompts, times[PLAIN, nbytes])
        yield where.name, share, found.communication_share
