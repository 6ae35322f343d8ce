"""How far codebooks travel: to other prompts, other tensors of a model, and other models.

Every message is coded with books from tensors it is not among, and held against its own Huffman
code in the same message format.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from linksim.codecs.book_fitting import fit_books
from linksim.codecs.codebook import DEFAULT_MAX_LENGTH, Codebook
from linksim.codecs.fixed import HuffmanFixed
from linksim.codecs.planning import bias_candidates, biased_bits
from linksim.codecs.prefix_code import package_merge
from linksim.errors import LinksimError
from linksim.studies.link_bias import FLIT_VALUES, LinkBias, link_bias
from linksim.studies.travel_messages import Message, messages_of
from linksim.studies.travel_results import (
    ACROSS_MODELS_PERCENT,
    ACROSS_PROMPTS_PERCENT,
    BIAS,
    MODEL,
    MODELS,
    NO_BIAS,
    PROMPTS,
    SCHEMES,
    SCOPES,
    SETS,
    TABLE,
    Cost,
    Travel,
    by_site,
    within,
)
from linksim.tensors.channel_offsets import (
    Offsets,
    exponents,
    fit_channel_offsets,
    subtract_offsets,
)
from linksim.tensors.dtypes import Tensor, number_format
from linksim.tensors.histograms import Histogram, entropy_bits, histogram
from linksim.tensors.views import symbol_view

VIEW = symbol_view("exponent", number_format("bf16"))
BIASES = bias_candidates(1)
LEAST_FLITS = 32
"""Sites of fewer are no stream whose bias could be followed."""

Schemes = dict[str, tuple[Codebook, ...]]
"""The books of every scheme that has enough tensors to learn from."""


@dataclass
class Judge:
    """Judges messages, each with books from the others of *messages*.

    Raises LinksimError where they are all of one model.
    """

    messages: Sequence[Message]
    _of_models: dict[str, Schemes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        models = dict.fromkeys(message.model for message in self.messages)
        if len(models) < 2:
            raise LinksimError(
                f"{', '.join(models) or 'no tensors'}: expected tensors of at least two models, "
                "one file or trace each"
            )

    def travel(self, message: Message) -> Travel:
        """*message* under every scheme, with books from every scope."""
        mates = [m for m in self.messages if m.key == message.key and m is not message]
        others = [m for m in self.messages if m.model == message.model and m.site != message.site]
        unseen = _unseen(mates, message)
        offsets = _offsets(unseen)
        image = None if offsets is None else subtract_offsets(message.values, offsets)
        tabled = [] if offsets is None else [_counts(subtract_offsets(r, offsets)) for r in unseen]
        return _travel(
            message,
            image,
            {
                PROMPTS: _books([_counts(rows) for rows in unseen], tabled),
                MODEL: _books([_counts(*_unseen(found, message)) for found in _sites(others)]),
                MODELS: self.of_other_models(message.model),
            },
        )

    def of_other_models(self, model: str) -> Schemes:
        """Books from all sites of other models than *model*, every site counting the same."""
        if model not in self._of_models:
            sites = _sites(m for m in self.messages if m.model != model)
            counted = [_counts(*(m.values for m in found)) for found in sites]
            tabled = []
            for found in (found for found in sites if len(found) > 1):
                offsets = _offsets([m.values for m in found])
                if offsets is not None:
                    images = (subtract_offsets(m.values, offsets) for m in found)
                    tabled.append(_counts(*images))
            self._of_models[model] = _books(counted, tabled)
        return self._of_models[model]

    def link_biases(self) -> list[LinkBias]:
        """The bias policies of the link profile at every site of enough values."""
        found = []
        for own in _sites(self.messages):
            books = self.of_other_models(own[0].model)
            parts = [exponents(message.values).reshape(-1) for message in own]
            if sum(len(part) // FLIT_VALUES for part in parts) >= LEAST_FLITS:
                name = f"{own[0].model}: {own[0].site}"
                found.append(link_bias(name, parts, books[SETS[1]][0], books[NO_BIAS][0]))
        return found


def _books(counted: Sequence[Histogram], tabled: Sequence[Histogram] = ()) -> Schemes:
    """Books from *counted*, and for the channel table from *tabled*: exponents less offsets."""
    counted = [counts for counts in counted if counts.any()]
    schemes: Schemes = {}
    if counted:
        plain = fit_books("average", VIEW, counted, aligned=False).books
        schemes = {NO_BIAS: plain, BIAS: plain}
    for size, scheme in SETS.items():
        if len(counted) >= size:
            schemes[scheme] = fit_books("fitted", VIEW, counted, size).books
    if tabled:
        schemes[TABLE] = fit_books("offset", VIEW, tabled).books
    return schemes


def _unseen(others: Iterable[Message], judged: Message) -> list[Tensor]:
    """The values of *others*, rows that *judged* holds too left out."""
    kept = (message.values[message.new_rows(judged)] for message in others)
    return [rows for rows in kept if rows.size]


def _offsets(rows: Sequence[Tensor]) -> Offsets | None:
    """The offset table of *rows*; None where there are none, or where their widths differ."""
    if not rows or len({part.shape[1] for part in rows}) != 1:
        return None
    return fit_channel_offsets(np.concatenate(rows))


def _travel(message: Message, image: Tensor | None, scopes: dict[str, Schemes]) -> Travel:
    """*message* coded with the books of *scopes*, under a channel table as its *image*."""
    counts = _counts(message.values)
    lengths = tuple(package_merge(counts, DEFAULT_MAX_LENGTH))
    own = Codebook("own", VIEW.fmt.name, VIEW.name, "own", lengths)
    costs: dict[str, dict[str, Cost]] = {}
    for scope, schemes in scopes.items():
        costs[scope] = {}
        for scheme, books in schemes.items():
            coded = image if scheme == TABLE else message.values
            if coded is not None:
                costs[scope][scheme] = _cost(coded, books, biased=scheme != NO_BIAS)
    return Travel(
        message.model,
        message.site,
        message.name,
        int(message.values.size),
        _cost(message.values, [own], biased=False),
        round(entropy_bits(counts), 5),
        costs,
    )


def _cost(values: Tensor, books: Sequence[Codebook], *, biased: bool) -> Cost:
    codec = HuffmanFixed(books, exponent_bias=biased)
    counts = _counts(values)[None]
    biases = BIASES if biased else np.zeros(1, np.int64)
    code_bits = min(int(biased_bits(counts, b.code.length_table, biases).min()) for b in books)
    return Cost(codec.encoded_nbytes(values.reshape(-1)), code_bits)


def _counts(*parts: Tensor) -> Histogram:
    """Exponents of all *parts* together, int64 [256]."""
    counted = (histogram(exponents(part).reshape(-1)) for part in parts)
    return np.asarray(sum(counted, np.zeros(VIEW.alphabet, np.int64)))


def _sites(messages: Iterable[Message]) -> list[list[Message]]:
    """The messages site by site, in order of first appearance."""
    sites: dict[tuple[str, str], list[Message]] = {}
    for message in messages:
        sites.setdefault(message.key, []).append(message)
    return list(sites.values())


def travel_study(files: Sequence[Path], out: Path) -> dict[str, Any]:
    """Judge every tensor of *files* and draw `travel.png` in the folder *out*.

    Returns the document of `study_document`. LinksimError for files that cannot be read, and where
    they are all of one model.
    """
    judge = Judge(messages_of(files))
    return study_document(judge, [judge.travel(message) for message in judge.messages], out)


def study_document(judge: Judge, travelled: Sequence[Travel], out: Path) -> dict[str, Any]:
    """A JSON-able document of what *judge* found, *travelled*; draws the figure in *out*.

    `within` says how many sites are as near to their own Huffman code as aimed at, `sites` and
    `messages` hold all losses, `link_bias` the bias policies of the link profile.
    """
    # Imported here: drawing takes a second to load and most commands never draw.
    from linksim.studies.travel_figures import travel_figure

    sites = by_site(travelled)
    out.mkdir(parents=True, exist_ok=True)
    origins = dict.fromkeys(m.origin for m in judge.messages if m.origin)
    travel_figure(sites, out / "travel.png", "; ".join(origins))
    return {
        "schemes": SCHEMES,
        "scopes": SCOPES,
        "within": {
            PROMPTS: within(sites, PROMPTS, NO_BIAS, ACROSS_PROMPTS_PERCENT),
            MODELS: within(sites, MODELS, SETS[1], ACROSS_MODELS_PERCENT),
        },
        "sites": [site.document() for site in sites],
        "messages": [one.document() for one in travelled],
        "link_bias": [one.document() for one in judge.link_biases()],
    }
