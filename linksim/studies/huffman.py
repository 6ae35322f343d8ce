"""The study of arXiv 2601.10673: how near codebooks of earlier batches come to their bounds.

Books are made of the tensors of batches before a given one, and judged on that batch and later
ones. What is judged is sent in messages of 64 KiB and more (`linksim.studies.messages`), each
encoded, decoded and compared; sizes are those of the messages, framing included.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from linksim import __version__
from linksim.codecs import CODECS, Raw, TensorCodec, codec_class, takes_codebooks
from linksim.codecs.book_building import build_books
from linksim.codecs.chunked import ChunkedCodec
from linksim.codecs.codebook import DEFAULT_MAX_LENGTH, CodebookSet
from linksim.codecs.evaluation import evaluate, own_huffman
from linksim.codecs.prefix_code import package_merge
from linksim.codecs.selection import CodecChooser
from linksim.errors import LinksimError
from linksim.studies.huffman_rows import Bounds, Coded, Form, total_bounds
from linksim.studies.messages import MESSAGE_NBYTES, Message, join_tensors
from linksim.tensors.dtypes import Tensor, cast, format_of, number_format
from linksim.tensors.histograms import entropy_bits, histogram
from linksim.tensors.scaling import scale_per_block, scale_per_tensor
from linksim.tensors.views import VIEW_NAMES, Bytes, symbol_view
from linksim.traces.sources import SourceTensor
from linksim.writing import written_whole

STUDIED_DTYPES = ("bf16", "e4m3", "e3m2", "e2m3", "e2m1")
_ORDER = (
    "huffman-fixed",
    "huffman-three-stage",
    "dual-length",
    "quad-length",
    "index-escape",
    "ans",
    "zstd",
    "zlib-huffman",
)
STUDIED_CODECS = tuple(codec for codec in _ORDER if codec in CODECS)
"""The codecs of the study, in the order of its tables."""

VARIED_CODEC = "huffman-fixed"
"""The codec that is also tried with one book per kind for all layers, and with a bias."""


@dataclass(frozen=True)
class Options:
    """What is studied. Raises LinksimError for a name that is none."""

    from_batch: int = 2
    """Judge this batch and later ones; books are made of the batches before."""
    kinds: tuple[str, ...] = ()
    """Tensor kinds; none given means all that are judged."""
    dtypes: tuple[str, ...] = STUDIED_DTYPES
    views: tuple[str, ...] = VIEW_NAMES
    """Views of 16-bit formats; those of 8 bits and less have `pooled` alone."""
    codecs: tuple[str, ...] = STUDIED_CODECS
    message_nbytes: int = MESSAGE_NBYTES

    def __post_init__(self) -> None:
        for dtype in self.dtypes:
            if number_format(dtype).name == "int8":
                raise LinksimError("dtype int8: expected a float format")
        for view in self.views:
            symbol_view(view, number_format("bf16"))
        for codec in self.codecs:
            codec_class(codec)

    @property
    def forms(self) -> tuple[Form, ...]:
        """Every form that tensors are sent in."""
        return tuple(form for dtype in self.dtypes for form in self._forms_of(dtype))

    def _forms_of(self, dtype: str) -> list[Form]:
        bits = number_format(dtype).bits
        if bits == 16:
            return [Form(dtype, "none", view) for view in self.views]
        scalings = ("tensor",) if bits == 8 else ("tensor", "block")
        return [Form(dtype, scaling, "pooled") for scaling in scalings]

    @property
    def variants(self) -> tuple[tuple[str, str], ...]:
        """Codecs with how their books are made, see `Coded.books`."""
        listed = []
        for codec in self.codecs:
            listed.append((codec, "layer" if takes_codebooks(codec) else "none"))
            if codec == VARIED_CODEC:
                listed += [(codec, "kind"), (codec, "biased")]
        return tuple(listed)


@dataclass
class PartialRows:
    """Rows of an unfinished study by a digest of all that went into them, kept in a file."""

    path: Path | None = None
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> PartialRows:
        """What *path* holds; nothing where there is no such file or none that can be read."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return cls(path)
        rows = found if isinstance(found, dict) else {}
        return cls(path, {key: row for key, row in rows.items() if isinstance(row, dict)})

    def save(self) -> None:
        """Write the file, whole or not at all."""
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self.path) as part:
                part.write_text(json.dumps(self.rows), encoding="utf-8")

    def remove(self) -> None:
        """Delete the file: the study is finished."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


class HuffmanStudy:
    """The study of *tensors*, in parts: one kind in one format and scaling at a time.

    Raises LinksimError where nothing is to be judged or no earlier batch is there.
    """

    def __init__(
        self, tensors: Sequence[SourceTensor], options: Options, partial: PartialRows | None = None
    ):
        judged = dict.fromkeys(t.kind for t in tensors if t.batch >= options.from_batch)
        if not judged:
            raise LinksimError(f"no tensor to judge from batch {options.from_batch} on")
        for kind in options.kinds:
            if kind not in judged:
                raise LinksimError(f"no tensor of kind {kind!r}: expected {', '.join(judged)}")
        self.options = options
        self.partial = partial or PartialRows()
        self._kinds = {
            kind: KindTensors(kind, [t for t in tensors if t.kind == kind], options.from_batch)
            for kind in options.kinds or judged
        }

    @property
    def parts(self) -> list[tuple[str, Form]]:
        """Every kind in every form."""
        return [(kind, form) for kind in self._kinds for form in self.options.forms]

    def run(self, kind: str, form: Form) -> list[Coded]:
        """One row per codec and choice of books; those of the partial rows are taken from there."""
        job = _Job(self._kinds[kind], form, self.options.message_nbytes)
        bounds = self._bounds(job)
        first_view = self.view_is_first(form)
        rows = [
            self._coded(job, bounds, codec_id, books)
            for codec_id, books in self.options.variants
            if first_view or job.takes_view(codec_id, books)
        ]
        self.partial.save()
        return rows

    def view_is_first(self, form: Form) -> bool:
        """Whether *form* is the one in which codecs without views are tried."""
        same = (f for f in self.options.forms if (f.dtype, f.scaling) == (form.dtype, form.scaling))
        return form == next(same)

    def _bounds(self, job: _Job) -> Bounds:
        digest = job.bounds_digest()
        known = self.partial.rows.get(digest)
        if known is not None:
            return Bounds(**{**known, "form": job.form})
        bounds = total_bounds(map(job.bounds_of, job.messages), job.tensors.kind)
        bounds = replace(bounds, scale_nbytes=job.scale_nbytes)
        self.partial.rows[digest] = asdict(bounds)
        return bounds

    def _coded(self, job: _Job, bounds: Bounds, codec_id: str, books: str) -> Coded:
        digest = job.digest(codec_id, books)
        known = self.partial.rows.get(digest)
        if known is None:
            known = job.encode_all(codec_id, books)
            self.partial.rows[digest] = known
        return Coded(bounds, codec_id, books, **known)


class KindTensors:
    """The tensors of one kind: those books are made of, and those that are judged."""

    def __init__(self, kind: str, tensors: Sequence[SourceTensor], from_batch: int):
        self.kind = kind
        self.tensors = tensors
        self.from_batch = from_batch
        if not any(tensor.batch < from_batch for tensor in tensors):
            raise LinksimError(f"kind {kind!r} has no tensor before batch {from_batch} for a book")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names, batches, layers and values of all tensors."""
        parts = sha256()
        for t in self.tensors:
            where = (t.name, t.batch, t.layer, str(t.values.dtype), t.values.shape)
            parts.update(repr((where, self.from_batch)).encode())
            parts.update(np.ascontiguousarray(t.values).tobytes())
        return parts.hexdigest()


class _Job:
    """One kind in one form: its messages, books and encodings, made when first asked for."""

    def __init__(self, tensors: KindTensors, form: Form, message_nbytes: int):
        self.tensors = tensors
        self.form = form
        self.message_nbytes = message_nbytes
        self.view = symbol_view(form.view, number_format(form.dtype))
        self._choosers: dict[tuple[str, str, tuple[int | None, ...]], CodecChooser] = {}

    @cached_property
    def _converted(self) -> list[tuple[SourceTensor, int]]:
        pairs = []
        for tensor in self.tensors.tensors:
            values, scale_nbytes = convert(tensor, self.form)
            pairs.append((replace(tensor, values=values), scale_nbytes))
        return pairs

    def _is_judged(self, tensor: SourceTensor) -> bool:
        return tensor.batch >= self.tensors.from_batch

    @cached_property
    def messages(self) -> list[Message]:
        judged = [tensor for tensor, _ in self._converted if self._is_judged(tensor)]
        return join_tensors(judged, self.message_nbytes)

    @property
    def scale_nbytes(self) -> int:
        return sum(nbytes for tensor, nbytes in self._converted if self._is_judged(tensor))

    @cached_property
    def _books(self) -> dict[str, CodebookSet]:
        """By choice of books, made of earlier batches alone."""
        earlier = [
            (tensor.kind, tensor.layer, tensor.values)
            for tensor, _ in self._converted
            if not self._is_judged(tensor)
        ]
        source = f"batches before {self.tensors.from_batch}"
        views = [self.form.view]
        of_layers = build_books(earlier, views, source, per_layer=True)
        return {
            "layer": of_layers,
            "biased": of_layers,
            "kind": build_books(earlier, views, source),
        }

    def digest(self, codec_id: str, books: str) -> str:
        """Of all that a row depends on: tensors, form, messages, codec and codebooks."""
        codebooks = {} if books == "none" else self._books[books].document()
        return self._digest(self._codec(codec_id, books, self.messages[0]), books, codebooks)

    def bounds_digest(self) -> str:
        """Of all that the bounds depend on: tensors, form, messages and message format."""
        return self._digest(self._own_huffman(self.messages[0]), "bounds", {})

    def _digest(self, codec: TensorCodec, what: str, codebooks: dict[str, Any]) -> str:
        parts = (
            __version__,
            self.tensors.digest,
            asdict(self.form),
            self.message_nbytes,
            codec.get_config(),
            what,
            codebooks,
        )
        return sha256(json.dumps(parts).encode()).hexdigest()

    def _own_huffman(self, message: Message) -> TensorCodec:
        # Raw has no configuration of its own, so the message format is the usual one.
        return own_huffman(message.values, self.view, Raw(self.view.fmt.name))

    def encode_all(self, codec_id: str, books: str) -> dict[str, Any]:
        """Sizes of all messages under a codec, each decoded and compared."""
        encoded = framing = 0
        separable = True
        for message in self.messages:
            codec = self._codec(codec_id, books, message)
            found = evaluate(message.name, self.tensors.kind, message.values, codec, self.view)
            encoded += found.encoded_nbytes
            framing += found.framing_nbytes
            separable = isinstance(codec, ChunkedCodec) or takes_codebooks(codec_id)
        return {"encoded_nbytes": encoded, "framing_nbytes": framing, "separable": separable}

    def takes_view(self, codec_id: str, books: str) -> bool:
        """Whether the view changes what the codec writes."""
        codec = self._codec(codec_id, books, self.messages[0])
        return not {"view", "codebooks"}.isdisjoint(codec.get_config())

    def _codec(self, codec_id: str, books: str, message: Message) -> TensorCodec:
        """The codec of *message*: every chunk may take the book of any of the message's layers."""
        key = (codec_id, books, message.layers)
        if key not in self._choosers:
            chosen = None if books == "none" else self._books_of(books, message.layers)
            biased = books == "biased"
            self._choosers[key] = CodecChooser(
                codec_id, self.form.view, exponent_bias=biased, books=chosen
            )
        chooser = self._choosers[key]
        return chooser.codec_for(message.name, self.tensors.kind, None, message.values)[0]

    def _books_of(self, books: str, layers: tuple[int | None, ...]) -> CodebookSet:
        among, dtype, view = self._books[books], self.form.dtype, self.form.view
        chosen = (among.select(dtype, view, self.tensors.kind, layer) for layer in layers)
        return CodebookSet(tuple(dict.fromkeys(book for found in chosen for book in found)))

    def bounds_of(self, message: Message) -> Bounds:
        """The bounds of one message."""
        symbols, rest = self.view.split(message.values)
        alphabet = self.view.alphabet
        own = self._own_huffman(message)
        parts = [self.view.split(part.values) for part in message.parts]
        return Bounds(
            kind=self.tensors.kind,
            form=self.form,
            tensors=len(message.parts),
            messages=1,
            smallest_message_nbytes=message.nbytes,
            values=message.values.size,
            raw_nbytes=message.nbytes,
            scale_nbytes=0,
            symbol_bits=self.view.symbol_bits,
            symbols=symbols.size,
            rest_nbytes=rest.size,
            entropy_nbytes=_entropy_nbytes(symbols, alphabet),
            rest_entropy_nbytes=_entropy_nbytes(rest),
            huffman_nbytes=own.encoded_nbytes(message.values),
            huffman_code_nbytes=_huffman_nbytes(symbols, alphabet),
            tensor_shannon_nbytes=sum(
                _entropy_nbytes(coded, alphabet) + _entropy_nbytes(uncoded)
                for coded, uncoded in parts
            ),
            tensor_code_nbytes=sum(_huffman_nbytes(coded, alphabet) for coded, _ in parts),
        )


def convert(tensor: SourceTensor, form: Form) -> tuple[Tensor, int]:
    """Values of *tensor* in the number format of *form*, and the bytes of their scales.

    A tensor that is of this format already stays as it is. LinksimError names a tensor of a
    narrower one.
    """
    stored, wanted = format_of(tensor.values), number_format(form.dtype)
    if stored.name == wanted.name:
        return tensor.values, 0
    if stored.bits < wanted.bits:
        raise LinksimError(f"tensor {tensor.name!r} is {stored.name}: {wanted.name} is wider")
    if form.scaling == "none":
        return cast(tensor.values, form.dtype), 0
    scale = scale_per_block if form.scaling == "block" else scale_per_tensor
    try:
        scaled = scale(tensor.values, form.dtype)
    except LinksimError as error:
        raise LinksimError(f"tensor {tensor.name!r}: {error}") from None
    return scaled.values, scaled.scale_nbytes


def _entropy_nbytes(symbols: Bytes, alphabet: int = 256) -> float:
    return symbols.size * entropy_bits(histogram(symbols, alphabet)) / 8


def _huffman_nbytes(symbols: Bytes, alphabet: int) -> float:
    counts = histogram(symbols, alphabet)
    return int(counts @ np.array(package_merge(counts, DEFAULT_MAX_LENGTH))) / 8
