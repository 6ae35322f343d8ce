"""Time to first token: computing of all layers and two all-reduces in each of them."""

from __future__ import annotations

from dataclasses import dataclass

from linksim.errors import LinksimError
from linksim.prefill.boxes import Box
from linksim.prefill.cards import ModelCard
from linksim.prefill.roofline import Prompts, compute_ps

ALL_REDUCES_PER_LAYER = 2
"""One behind attention, one behind the FFN (Megatron-LM, arXiv 1909.08053)."""


@dataclass(frozen=True)
class FirstToken:
    """Where the time from the prompts to the first token goes. All times are ps.

    Scheduling, tokenizing and sampling are not part of it.
    """

    compute_ps: int
    all_reduce_ps: int
    """Of one all-reduce."""
    all_reduces: int
    hidden_ps: int
    """Of communication, behind computing."""

    @property
    def communication_ps(self) -> int:
        """Of all all-reduces, hidden or not."""
        return self.all_reduces * self.all_reduce_ps

    @property
    def total_ps(self) -> int:
        """Time to first token."""
        return self.compute_ps + self.communication_ps - self.hidden_ps

    @property
    def communication_share(self) -> float:
        """Share of the time to first token in which nothing but communication goes on."""
        return (self.communication_ps - self.hidden_ps) / self.total_ps


def first_token(
    model: ModelCard, box: Box, prompts: Prompts, all_reduce_ps: int, *, overlap: float = 0.0
) -> FirstToken:
    """The time to first token of *model* on *box*, if one all-reduce takes *all_reduce_ps*.

    *overlap* is the share of communication that goes on while the GPUs compute, as far as they do;
    0 as in plain tensor parallelism, where every all-reduce is waited for. LinksimError for a share
    outside 0 to 1, or a time below 0.
    """
    if not 0 <= overlap <= 1:
        raise LinksimError(f"overlap: {overlap}: expected a share from 0 to 1")
    if all_reduce_ps < 0:
        raise LinksimError(f"an all-reduce of {all_reduce_ps} ps: expected 0 or more")
    computing = compute_ps(model, box.gpu, prompts, box.card.gpus)
    count = ALL_REDUCES_PER_LAYER * model.layers
    hidden = min(round(overlap * count * all_reduce_ps), computing)
    return FirstToken(computing, all_reduce_ps, count, hidden)
