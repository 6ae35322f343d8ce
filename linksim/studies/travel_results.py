"""What the study of how far codebooks travel finds: costs, losses, and what they are sums of.

Losses are bits above the tensor's own Huffman code, in percent of the 16 bits of a bf16 value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

VALUE_BITS = 16
ACROSS_PROMPTS_PERCENT = 0.5
ACROSS_MODELS_PERCENT = 2.0
"""Losses that are aimed at, in percent of the 16 bits of a value."""

PROMPTS, MODEL, MODELS = "other prompts", "same model", "other models"
SCOPES = {
    PROMPTS: "other messages of the same site",
    MODEL: "other sites of the same model",
    MODELS: "all sites of the other models",
}
"""Where books come from."""
NO_BIAS, BIAS, TABLE = "no bias", "bias", "channel table"
SET_SIZES = (1, 2, 4, 8)
SETS = {size: f"{size} scale-free" for size in SET_SIZES}
SCHEMES = {
    NO_BIAS: "average distribution, as it is",
    BIAS: "the same book, an exponent bias per chunk",
    **{name: f"{size} books fitted up to a bias, a bias per chunk" for size, name in SETS.items()},
    TABLE: "exponent offset per channel from other prompts, one scale-free book, a bias per chunk",
}


@dataclass(frozen=True)
class Cost:
    """What a message costs under one scheme."""

    nbytes: int
    """Of the message as sent, framing included; the books and tables are at both ends already."""
    code_bits: int
    """Of the exponents alone, without framing; book and bias the best for the whole message."""


@dataclass(frozen=True)
class Travel:
    """One message under every scheme, with books from every scope."""

    model: str
    site: str
    name: str
    values: int
    own: Cost
    """Its own Huffman code in the same message format; the codebook is not counted."""
    entropy_bits_per_value: float
    """Shannon entropy of the exponents."""
    costs: dict[str, dict[str, Cost]]
    """By scope and scheme; a scheme that has too few tensors to learn from is missing."""

    @property
    def raw_nbytes(self) -> int:
        """Size of the values, uncoded."""
        return 2 * self.values

    def loss_percent(self, scope: str, scheme: str) -> float | None:
        """Bits above the own Huffman code in percent of 16 bits a value, of the whole message."""
        cost = self.costs.get(scope, {}).get(scheme)
        return None if cost is None else 50 * (cost.nbytes - self.own.nbytes) / self.values

    def code_loss_percent(self, scope: str, scheme: str) -> float | None:
        """Like `loss_percent`, of code bits alone, with one book and bias for the whole message."""
        cost = self.costs.get(scope, {}).get(scheme)
        if cost is None:
            return None
        return 100 * (cost.code_bits - self.own.code_bits) / (VALUE_BITS * self.values)

    def document(self) -> dict[str, Any]:
        """All fields and both losses, JSON-able."""
        pairs = [(scope, scheme) for scope, costs in self.costs.items() for scheme in costs]
        losses: dict[str, dict[str, dict[str, float]]] = {scope: {} for scope in self.costs}
        for scope, scheme in pairs:
            message, code = self.loss_percent(scope, scheme), self.code_loss_percent(scope, scheme)
            losses[scope][scheme] = {
                "message_percent_of_value": round(message or 0.0, 4),
                "code_percent_of_value": round(code or 0.0, 4),
            }
        return asdict(self) | {"raw_nbytes": self.raw_nbytes, "losses": losses}


@dataclass(frozen=True)
class SiteTravel:
    """The messages of one site together."""

    model: str
    site: str
    messages: int
    raw_nbytes: int
    losses: dict[str, dict[str, float]]
    """Loss in percent of 16 bits a value by scope and scheme, of all messages together."""

    @property
    def label(self) -> str:
        """Model and site."""
        return f"{self.model}: {self.site}"

    def document(self) -> dict[str, Any]:
        """All fields, JSON-able."""
        return asdict(self)


def by_site(travelled: Sequence[Travel]) -> list[SiteTravel]:
    """The messages of every site summed, in order of first appearance."""
    sites: dict[tuple[str, str], list[Travel]] = {}
    for one in travelled:
        sites.setdefault((one.model, one.site), []).append(one)
    return [_site(found) for found in sites.values()]


def _site(found: list[Travel]) -> SiteTravel:
    losses: dict[str, dict[str, float]] = {}
    for scope in SCOPES:
        of_scope = {}
        for scheme in SCHEMES:
            costs = [one.costs[scope].get(scheme) for one in found]
            have = [cost.nbytes for cost in costs if cost is not None]
            if len(have) == len(found):
                more = sum(have) - sum(one.own.nbytes for one in found)
                of_scope[scheme] = round(50 * more / sum(one.values for one in found), 4)
        losses[scope] = of_scope
    raw = sum(one.raw_nbytes for one in found)
    return SiteTravel(found[0].model, found[0].site, len(found), raw, losses)


def within(sites: Sequence[SiteTravel], scope: str, scheme: str, percent: float) -> dict[str, Any]:
    """Which sites lose at most *percent*, and which more: `percent`, `sites`, `beyond`."""
    judged = {site.label: site.losses[scope].get(scheme) for site in sites}
    known = {label: loss for label, loss in judged.items() if loss is not None}
    beyond = {label: loss for label, loss in known.items() if loss > percent}
    return {"scheme": scheme, "percent": percent, "sites": len(known), "beyond": beyond}
