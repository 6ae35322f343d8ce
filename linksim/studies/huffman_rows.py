"""The figures of the Huffman study: what there is to code, what its bounds are, what codecs make.

Sizes are bytes, summed over messages. Sums of entropies are fractions of bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

ALL_KINDS = "all"
"""Kind of the rows that sum up all others."""


@dataclass(frozen=True)
class Form:
    """How the values of a trace are sent: number format, scaling and symbol view."""

    dtype: str
    scaling: str
    """`none`: a plain cast; `tensor`, `block`: as in `linksim.tensors.scaling`."""
    view: str

    @property
    def label(self) -> str:
        """For tables and figures: `bf16 exponent`, `e4m3`, `e2m1 in blocks`."""
        if self.scaling == "none":
            return f"{self.dtype} {self.view}"
        return f"{self.dtype} in blocks" if self.scaling == "block" else self.dtype


@dataclass(frozen=True)
class Bounds:
    """The messages of one kind in one form, and what no code without context can beat."""

    kind: str
    form: Form
    tensors: int
    messages: int
    smallest_message_nbytes: int
    values: int
    raw_nbytes: int
    """Uncompressed, tightly packed, without scales."""
    scale_nbytes: int
    """Scales, one byte each; in no other figure."""
    symbol_bits: int
    symbols: int
    rest_nbytes: int
    """Bytes that the view leaves uncoded."""
    entropy_nbytes: float
    """Shannon entropy of the coded symbols, message by message."""
    rest_entropy_nbytes: float
    """That of the rest bytes."""
    huffman_nbytes: int
    """Every message with its own Huffman code, framing included, the codebook not."""
    huffman_code_nbytes: float
    """The code words alone of `huffman_nbytes`."""
    tensor_shannon_nbytes: float
    """As `shannon_nbytes`, but of every tensor by itself."""
    tensor_code_nbytes: float
    """As `huffman_code_nbytes`, but with one code per tensor."""

    @property
    def shannon_nbytes(self) -> float:
        """Shannon's bound: coded symbols and rest bytes, no framing."""
        return self.entropy_nbytes + self.rest_entropy_nbytes

    @property
    def tensor_huffman_nbytes(self) -> float:
        """Every message with one own Huffman code per tensor, framing included."""
        return self.huffman_nbytes - self.huffman_code_nbytes + self.tensor_code_nbytes

    def compressibility_percent(self, code_nbytes: float) -> float:
        """Share that *code_nbytes* of code words save of the coded symbols, as the papers count."""
        return 100 * (1 - 8 * code_nbytes / max(1, self.symbols * self.symbol_bits))

    def document(self) -> dict[str, Any]:
        """All fields and derived figures, flat."""
        own = {key: value for key, value in asdict(self).items() if key != "form"}
        return (
            {"kind": self.kind, **asdict(self.form)}
            | own
            | {
                "shannon_nbytes": self.shannon_nbytes,
                "tensor_huffman_nbytes": self.tensor_huffman_nbytes,
                "ideal_compressibility_percent": self.compressibility_percent(self.entropy_nbytes),
                "huffman_compressibility_percent": self.compressibility_percent(
                    self.huffman_code_nbytes
                ),
            }
        )


@dataclass(frozen=True)
class Coded:
    """What one codec makes of the messages of a kind in a form."""

    bounds: Bounds
    codec: str
    books: str
    """`layer`: one book per kind and layer; `biased`: the same, with an exponent bias per chunk;
    `kind`: one book per kind; `none`: the codec takes none."""
    encoded_nbytes: int
    """Real encodings, decoded and compared, framing included."""
    framing_nbytes: int
    """Of it headers, codebooks, chunk index and entry points."""
    separable: bool
    """Whether all else is code words and rest bytes, so that code words can be told apart."""

    @property
    def code_nbytes(self) -> int:
        """Code words, padded to whole bytes chunk by chunk."""
        return self.encoded_nbytes - self.framing_nbytes - self.bounds.rest_nbytes

    @property
    def saved_percent(self) -> float:
        """Share of the uncompressed bytes saved."""
        return 100 * (1 - self.encoded_nbytes / max(1, self.bounds.raw_nbytes))

    @property
    def above_huffman_percent(self) -> float:
        """Encoded bytes above those of the messages' own Huffman codes."""
        return 100 * (self.encoded_nbytes / max(1, self.bounds.huffman_nbytes) - 1)

    @property
    def above_tensor_huffman_percent(self) -> float:
        """Encoded bytes above those of one own Huffman code per tensor."""
        return 100 * (self.encoded_nbytes / max(1.0, self.bounds.tensor_huffman_nbytes) - 1)

    @property
    def above_shannon_percent(self) -> float:
        """Encoded bytes above Shannon's bound."""
        return 100 * (self.encoded_nbytes / max(1e-9, self.bounds.shannon_nbytes) - 1)

    @property
    def above_tensor_shannon_percent(self) -> float:
        """Encoded bytes above Shannon's bound of every tensor by itself."""
        return 100 * (self.encoded_nbytes / max(1e-9, self.bounds.tensor_shannon_nbytes) - 1)

    @property
    def compressibility_percent(self) -> float | None:
        """In the papers' unit; None where code words cannot be told from the rest."""
        return self.bounds.compressibility_percent(self.code_nbytes) if self.separable else None

    @property
    def gap_parts_percent(self) -> dict[str, float] | None:
        """Where `above_shannon_percent` comes from, in percent of Shannon's bound.

        `framing`; `huffman_redundancy`: own Huffman code over entropy; `mismatch`: this codec's
        code words over own Huffman's, with their padding to bytes; `rest`: uncoded bytes over
        their entropy. None as for `compressibility_percent`.
        """
        if not self.separable:
            return None
        of = self.bounds
        parts = {
            "framing": float(self.framing_nbytes),
            "huffman_redundancy": of.huffman_code_nbytes - of.entropy_nbytes,
            "mismatch": self.code_nbytes - of.huffman_code_nbytes,
            "rest": of.rest_nbytes - of.rest_entropy_nbytes,
        }
        return {name: 100 * part / max(1e-9, of.shannon_nbytes) for name, part in parts.items()}

    def document(self) -> dict[str, Any]:
        """All fields and derived figures, flat; what the bounds hold is left out."""
        parts = self.gap_parts_percent or dict.fromkeys(GAP_PARTS)
        return {
            "kind": self.bounds.kind,
            **asdict(self.bounds.form),
            "codec": self.codec,
            "books": self.books,
            "encoded_nbytes": self.encoded_nbytes,
            "framing_nbytes": self.framing_nbytes,
            "saved_percent": self.saved_percent,
            "compressibility_percent": self.compressibility_percent,
            "above_huffman_percent": self.above_huffman_percent,
            "above_tensor_huffman_percent": self.above_tensor_huffman_percent,
            "above_shannon_percent": self.above_shannon_percent,
            "above_tensor_shannon_percent": self.above_tensor_shannon_percent,
            **{f"gap_{name}_percent": parts[name] for name in GAP_PARTS},
        }


GAP_PARTS = ("framing", "huffman_redundancy", "mismatch", "rest")
"""Parts of the gap to Shannon's bound, see `Coded.gap_parts_percent`."""

_SUMMED = tuple(
    field.name
    for field in fields(Bounds)
    if field.name not in ("kind", "form", "symbol_bits", "smallest_message_nbytes")
)


def total_bounds(parts: Iterable[Bounds], kind: str) -> Bounds:
    """The sum of *parts*, all of one form, as one kind."""
    listed = list(parts)
    sums = {name: sum(getattr(part, name) for part in listed) for name in _SUMMED}
    smallest = min(part.smallest_message_nbytes for part in listed)
    return replace(listed[0], kind=kind, smallest_message_nbytes=smallest, **sums)


def with_totals(rows: Iterable[Coded]) -> list[Coded]:
    """*rows*, and behind them one sum over all kinds per form, codec and choice of books."""
    listed = list(rows)
    groups: dict[tuple[Form, str, str], list[Coded]] = {}
    for row in listed:
        groups.setdefault((row.bounds.form, row.codec, row.books), []).append(row)
    sums = [
        replace(
            group[0],
            bounds=total_bounds((row.bounds for row in group), ALL_KINDS),
            encoded_nbytes=sum(row.encoded_nbytes for row in group),
            framing_nbytes=sum(row.framing_nbytes for row in group),
        )
        for group in groups.values()
    ]
    return listed + sums


def results_document(rows: Iterable[Coded], about: dict[str, Any]) -> dict[str, Any]:
    """Everything as one JSON-able document: *about*, then two tables of columns and rows.

    `bounds` has one row per kind and form, `codecs` one per kind, form, codec and choice of books.
    """
    listed = list(rows)
    bounds = dict.fromkeys(row.bounds for row in listed)
    return {
        **about,
        "bounds": _table([entry.document() for entry in bounds]),
        "codecs": _table([row.document() for row in listed]),
    }


def _table(documents: list[dict[str, Any]]) -> dict[str, Any]:
    columns = list(documents[0]) if documents else []
    rows = [[_rounded(document[column]) for column in columns] for document in documents]
    return {"columns": columns, "rows": rows}


def _rounded(cell: Any) -> Any:
    return round(cell, 4) if isinstance(cell, float) else cell


def results_json(document: dict[str, Any]) -> str:
    """*document* as JSON text with one line per row, so that a change shows as one line."""
    entries = []
    for name, value in document.items():
        text = json.dumps(value)
        if isinstance(value, dict) and "rows" in value:
            rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in value["rows"])
            text = f'{{"columns": {json.dumps(value["columns"])}, "rows": [\n{rows}\n]}}'
        entries.append(f"{json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(entries) + "\n}\n"


@dataclass(frozen=True)
class Results:
    """Rows of a study with their sums over all kinds, and how to find one."""

    rows: Sequence[Coded]

    @property
    def forms(self) -> list[Form]:
        """All forms, in order."""
        return list(dict.fromkeys(row.bounds.form for row in self.rows))

    @property
    def variants(self) -> list[tuple[str, str]]:
        """All codecs with their choice of books, in order."""
        return list(dict.fromkeys((row.codec, row.books) for row in self.rows))

    def of(self, form: Form, codec: str, books: str | None = None) -> list[Coded]:
        """Rows of a form and codec; without *books* those of its first choice of books."""
        found = [row for row in self.rows if (row.bounds.form, row.codec) == (form, codec)]
        chosen = books or (found[0].books if found else None)
        return [row for row in found if row.books == chosen]

    def one(self, form: Form, codec: str, kind: str, books: str | None = None) -> Coded | None:
        """The row of one kind, or None."""
        rows = [row for row in self.of(form, codec, books) if row.bounds.kind == kind]
        return rows[0] if rows else None

    def bounds(self, form: Form, kind: str) -> Bounds | None:
        """The bounds of one kind in a form, or None."""
        for row in self.rows:
            if (row.bounds.form, row.bounds.kind) == (form, kind):
                return row.bounds
        return None


def variant_name(codec: str, books: str) -> str:
    """A codec and its choice of books in words."""
    more = {"kind": ", one book per kind", "biased": ", bias per chunk"}
    return codec + more.get(books, "")
