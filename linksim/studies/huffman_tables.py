"""The page that people read of the Huffman study: tables in Markdown."""

from __future__ import annotations

from linksim.codecs.chunk import MAX_CHUNK_SYMBOLS
from linksim.codecs.chunked import RUN_SYMBOLS
from linksim.reports.tables import markdown_table
from linksim.studies.huffman_rows import (
    ALL_KINDS,
    GAP_PARTS,
    Bounds,
    Coded,
    Form,
    Results,
    variant_name,
)
from linksim.studies.published import (
    PAPER_KIND,
    PUBLISHED,
    PUBLISHED_ENTROPY_BITS,
    WITHIN_HUFFMAN_PERCENT,
    WITHIN_SHANNON_PERCENT,
    PublishedFigure,
)
from linksim.units import format_bytes_binary

FIXED = "huffman-fixed"
PART_NAMES = {
    "framing": "framing",
    "huffman_redundancy": "Huffman redundancy",
    "mismatch": "book mismatch",
    "rest": "rest bytes",
}

CLAIM_COLUMNS = (
    "tensor kind",
    "saved",
    "above own Huffman",
    "by tensor",
    "above Shannon",
    "by tensor",
    *(PART_NAMES[part] for part in GAP_PARTS),
    "missed, mostly by",
)


def study_markdown(results: Results, origin: str, from_batch: int) -> str:
    """The whole page; *origin* says what the tensors are."""
    parts = ["# How near fixed codebooks come to their bounds\n", _introduction(origin, from_batch)]
    parts.append(_claim_introduction(results))
    parts += [_claim_section(results, form) for form in results.forms if _is_full(form)]
    parts += [_books_section(results), _codec_section(results), _paper_section(results)]
    parts += [_narrow_section(results), _message_section(results)]
    return "\n".join(part for part in parts if part)


def _is_full(form: Form) -> bool:
    return form.scaling == "none" or form.dtype == "e4m3"


def _introduction(origin: str, from_batch: int) -> str:
    return f"""{origin}

Codebooks are made of the batches before batch {from_batch}, one per tensor kind and layer, and
judged on batch {from_batch} and later ones. All sizes are real encodings, decoded and compared bit
for bit, framing included: chunks of {MAX_CHUNK_SYMBOLS} symbols, entry points every
{RUN_SYMBOLS["bulk"]}. Codebooks of fixed codecs are known to both ends; the three-stage codec sends
its own with every message.

**Messages.** Tensors of one kind and batch are joined to messages of at least 64 KiB: within a
layer shard by shard, and across layers where a layer holds less. A message closes as soon as it is
full; what is left of a layer joins the layer's last message. Every chunk of a message may take the
book of any layer in the message; `ans` takes one per message.

**Narrow formats.** The papers do not say how they scale, so: e4m3, e3m2, e2m3 and e2m1 are the
bf16 values times one power of two per tensor, the largest that keeps the absolute maximum inside
the format. *In blocks*: one power of two per 32 values instead, as in OCP MX 1.0. Scales are
counted apart.
"""


def _percent(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f} %"


def _above(value: float) -> str:
    return f"{value:+.2f} %"


def missed(row: Coded) -> str:
    """Which target *row* misses and the largest part of that gap; empty where it misses none."""
    parts = row.gap_parts_percent or {}
    texts = []
    if round(row.above_huffman_percent, 2) > WITHIN_HUFFMAN_PERCENT:
        texts.append(f"own Huffman: {PART_NAMES['mismatch']}")
    elif round(row.above_tensor_huffman_percent, 2) > WITHIN_HUFFMAN_PERCENT:
        texts.append("own Huffman by tensor")
    if round(row.above_shannon_percent, 2) > WITHIN_SHANNON_PERCENT and parts:
        largest = max(parts, key=lambda name: parts[name])
        texts.append(f"Shannon: {PART_NAMES[largest]}")
    elif round(row.above_tensor_shannon_percent, 2) > WITHIN_SHANNON_PERCENT:
        texts.append("Shannon by tensor")
    return "; ".join(texts)


def _claim_introduction(results: Results) -> str:
    if not any(results.of(form, FIXED) for form in results.forms):
        return ""
    return f"""## Fixed books against own Huffman and Shannon

The target, in bytes with framing: {WITHIN_HUFFMAN_PERCENT} % above own Huffman, and
{WITHIN_SHANNON_PERCENT:g} % above Shannon. Both are of a whole message: one code, one distribution.
*By tensor* takes every tensor in it by itself, which is harder where layers share a message and
flatters the bound where tensors are short: a code fitted to 4096 values fits their chance as well.
Framing, the own code's redundancy, the book's mismatch to the message, and what uncoded rest bytes
hold less than 8 bits add up to *above Shannon* (in percent of Shannon). A mismatch below 0 is what
a book per layer gains over one code for several layers.
"""


def _claim_section(results: Results, form: Form) -> str:
    rows = results.of(form, FIXED)
    if not rows:
        return ""
    cells = []
    for row in rows:
        parts = row.gap_parts_percent or dict.fromkeys(GAP_PARTS, 0.0)
        cells.append(
            (
                row.bounds.kind,
                _percent(row.saved_percent, 1),
                _above(row.above_huffman_percent),
                _above(row.above_tensor_huffman_percent),
                _above(row.above_shannon_percent),
                _above(row.above_tensor_shannon_percent),
                *(f"{parts[part]:.2f}" for part in GAP_PARTS),
                missed(row),
            )
        )
    return f"""### {form.label}

{markdown_table(CLAIM_COLUMNS, cells)}
"""


def _books_section(results: Results) -> str:
    tables = []
    for books, title in (("kind", BOOK_PER_KIND), ("biased", BOOK_WITH_BIAS)):
        forms = [f for f in results.forms if _is_full(f) and results.of(f, FIXED, books)]
        kinds = [row.bounds.kind for row in results.of(forms[0], FIXED, books)] if forms else []
        cells = []
        for kind in kinds:
            found = [results.one(form, FIXED, kind, books) for form in forms]
            gaps = (
                f"{row.above_huffman_percent:+.2f} / {row.above_tensor_huffman_percent:+.2f}"
                if row
                else ""
                for row in found
            )
            cells.append((kind, *gaps))
        if cells:
            columns = ("tensor kind", *(form.label for form in forms))
            tables.append(f"{title}\n\n{markdown_table(columns, cells)}\n")
    return "\n".join(tables)


BOOK_PER_KIND = """## One book per kind for all layers

Above own Huffman / by tensor, in percent as above."""

BOOK_WITH_BIAS = """## One book per kind and layer, and an exponent bias per chunk

The same figures where every chunk may shift its symbols. In e4m3, 8 symbols are a factor of two: a
tensor whose absolute maximum has moved past a power of two, and with it its scale, gets its book
back."""

CODEC_INTRODUCTION = """## What every codec saves

Share of the uncompressed bytes, framing included. `ans`, `zstd` and `zlib-huffman` have no chunks
and no entry points, so nothing can be decoded before all of a message is there. Shannon bounds
codes without context: `zstd` also finds repeats, and can save more.
"""


def codec_table(results: Results, kind: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns and rows: what every codec saves of the bytes of *kind*, form by form."""
    cells = []
    for codec, books in results.variants:
        found = [results.one(form, codec, kind, books) for form in results.forms]
        saved = (_percent(row.saved_percent, 1) if row else "" for row in found)
        cells.append((variant_name(codec, books), *saved))
    bounds = [results.bounds(form, kind) for form in results.forms]
    own = (_saved(b, b.huffman_nbytes) if b else "" for b in bounds)
    shannon = (_saved(b, b.shannon_nbytes) if b else "" for b in bounds)
    cells += [("own Huffman, book not counted", *own), ("Shannon", *shannon)]
    return ("codec", *(form.label for form in results.forms)), cells


def claim_table(results: Results) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns and rows: fixed books kind by kind, above own Huffman and above Shannon."""
    forms = [form for form in results.forms if _is_full(form) and results.of(form, FIXED)]
    kinds = [row.bounds.kind for row in results.of(forms[0], FIXED)] if forms else []
    cells = []
    for kind in kinds:
        found = [results.one(form, FIXED, kind) for form in forms]
        gaps = (
            f"{row.above_huffman_percent:+.2f} / {row.above_shannon_percent:+.2f}" if row else ""
            for row in found
        )
        cells.append((kind, *gaps))
    return ("tensor kind", *(form.label for form in forms)), cells


def _codec_section(results: Results) -> str:
    tables = []
    for kind, title in ((ALL_KINDS, "All kinds"), (PAPER_KIND, f"`{PAPER_KIND}` alone")):
        if any(results.bounds(form, kind) for form in results.forms):
            tables.append(f"{title}:\n\n{markdown_table(*codec_table(results, kind))}\n")
    return "\n".join((CODEC_INTRODUCTION, *tables))


def _saved(bounds: Bounds, nbytes: float) -> str:
    return _percent(100 * (1 - nbytes / max(1, bounds.raw_nbytes)), 1)


def _compressibility(results: Results, form: Form, what: str, kind: str) -> float | None:
    bounds = results.bounds(form, kind)
    if bounds is None:
        return None
    if what == "Shannon":
        return bounds.compressibility_percent(bounds.entropy_nbytes)
    if what == "own Huffman":
        return bounds.compressibility_percent(bounds.huffman_code_nbytes)
    row = results.one(form, what, kind)
    return row.compressibility_percent if row else None


def _paper_section(results: Results) -> str:
    cells = []
    for figure in PUBLISHED:
        form = next((f for f in results.forms if _fits(f, figure)), None)
        if form is None:
            continue
        ours = [_compressibility(results, form, figure.what, k) for k in (PAPER_KIND, ALL_KINDS)]
        cells.append(
            (
                f"{figure.what}, {form.label}",
                _percent(figure.compressibility_percent, 1),
                f"{figure.source}, {figure.grade}",
                *(_percent(value, 1) for value in ours),
            )
        )
    if not cells:
        return ""
    columns = ("figure", "paper", "source, evidence", f"here, {PAPER_KIND}", "here, all kinds")
    return f"""## Beside the papers

In the papers' unit, compressibility: (S - bits per coded symbol) / S, coded symbols alone, no
framing. The papers' tensors are FFN1 activations of Gemma 2B in bf16, with about
{PUBLISHED_ENTROPY_BITS} bits of entropy per byte (second-hand); which tensor the e4m3 figures are
of is not said in what was read. arXiv 2601.10673 finds fixed books within
{WITHIN_HUFFMAN_PERCENT} % of own Huffman and {WITHIN_SHANNON_PERCENT:g} % of Shannon (read in the
source).

{markdown_table(columns, cells)}

{_unit_table(results)}"""


def _fits(form: Form, figure: PublishedFigure) -> bool:
    return (form.dtype, form.view) == (figure.dtype, figure.view) and form.scaling != "block"


UNIT_COLUMNS = (
    "tensor kind",
    "bits per symbol",
    "Shannon",
    "own Huffman",
    "fixed book",
    "fixed - own Huffman",
    "fixed - Shannon",
)


def _unit_table(results: Results) -> str:
    tables = []
    for form in results.forms:
        if form.view != "pooled" or not _is_full(form):
            continue
        cells = []
        for row in results.of(form, FIXED):
            bounds, fixed = row.bounds, row.compressibility_percent or 0.0
            ideal = bounds.compressibility_percent(bounds.entropy_nbytes)
            own = bounds.compressibility_percent(bounds.huffman_code_nbytes)
            cells.append(
                (
                    bounds.kind,
                    f"{8 * bounds.entropy_nbytes / max(1, bounds.symbols):.3f}",
                    *(_percent(value) for value in (ideal, own, fixed)),
                    f"{fixed - own:+.2f}",
                    f"{fixed - ideal:+.2f}",
                )
            )
        if cells:
            table = markdown_table(UNIT_COLUMNS, cells)
            tables.append(f"Compressibility, {form.label}; differences in points:\n\n{table}\n")
    return "\n".join(tables)


def _narrow_section(results: Results) -> str:
    cells = []
    for form in results.forms:
        bounds = results.bounds(form, ALL_KINDS)
        fixed = results.one(form, FIXED, ALL_KINDS)
        if form.scaling == "none" or bounds is None or fixed is None:
            continue
        cells.append(
            (
                form.label,
                f"{8 * bounds.entropy_nbytes / max(1, bounds.symbols):.3f}",
                str(bounds.symbol_bits),
                _percent(bounds.compressibility_percent(bounds.entropy_nbytes)),
                _percent(bounds.compressibility_percent(bounds.huffman_code_nbytes)),
                _percent(fixed.compressibility_percent),
                _above(fixed.above_huffman_percent),
                _above(fixed.above_tensor_huffman_percent),
                _above(fixed.above_shannon_percent),
                _percent(100 * bounds.scale_nbytes / max(1, bounds.raw_nbytes)),
            )
        )
    if not cells:
        return ""
    columns = (
        "format",
        "entropy, bit",
        "of",
        "Shannon",
        "own Huffman",
        "fixed book",
        "above own Huffman",
        "by tensor",
        "above Shannon",
        "scales, of the bytes",
    )
    return f"""## Narrow formats, all kinds

Shannon, own Huffman and fixed book as compressibility; *above* in bytes with framing.

{markdown_table(columns, cells)}
"""


def _message_section(results: Results) -> str:
    forms = list({(form.dtype, form.scaling): form for form in results.forms}.values())
    kinds = [k for k in dict.fromkeys(row.bounds.kind for row in results.rows) if k != ALL_KINDS]
    cells = []
    for kind in kinds:
        texts = []
        for form in forms:
            bounds = results.bounds(form, kind)
            if bounds is None or form.scaling == "block":
                continue
            smallest = format_bytes_binary(bounds.smallest_message_nbytes)
            texts.append(f"{bounds.tensors} in {bounds.messages}, {smallest}")
        cells.append((kind, *texts))
    columns = ("tensor kind", *(form.label.split()[0] for form in forms if form.scaling != "block"))
    return f"""## Messages

Tensors judged, messages they make, and the smallest message. Where a kind holds less than 64 KiB in
all, its one message is smaller.

{markdown_table(columns, cells)}
"""
