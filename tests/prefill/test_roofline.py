"""The roofline: operations in closed form, bound by arithmetic or memory, divided over GPUs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linksim.errors import LinksimError
from linksim.prefill import Prompts, compute_ps, gpu_card, layer_operations, model_card
from linksim.prefill.roofline import Operation

L40 = gpu_card("l40")


def flops(name: str, prompts: Prompts, gpus: int) -> int:
    return sum(one.flops for one in layer_operations(model_card(name), prompts, gpus))


def test_matrix_products_are_two_operations_per_weight_and_token() -> None:
    model, prompts = model_card("llama-3-70b"), Prompts(batch=2, tokens=512)
    weights = model.hidden * model.head_size * (2 * model.heads + 2 * model.kv_heads)
    weights += 3 * model.hidden * model.ffn
    # Causal attention: a token attends to half of the prompt on average, in two products.
    attention = 2 * 2 * prompts.total * (prompts.tokens // 2) * model.heads * model.head_size
    assert flops("llama-3-70b", prompts, 1) == 2 * prompts.total * weights + attention
    for gpus in (2, 4, 8):
        assert flops("llama-3-70b", prompts, gpus) * gpus == flops("llama-3-70b", prompts, 1)


def test_heads_that_do_not_go_round_are_waited_for() -> None:
    prompts = Prompts(batch=1, tokens=64)
    # 4 heads of keys and values: the fifth to eighth GPU keep copies.
    first = layer_operations(model_card("gemma-2-2b"), prompts, 8)[0]
    assert first.flops == 2 * 64 * 2304 * (256 + 2 * 256)


def test_an_operation_takes_the_longer_of_arithmetic_and_memory() -> None:
    arithmetic = Operation("matmul", 181_050_000_000_000, 8)
    assert arithmetic.duration_ps(L40) == round(1e12 / 0.7)
    memory = Operation("copy", 10, 864_000_000_000)
    assert memory.duration_ps(L40) == 1_250_000_000_000


def test_few_tokens_are_bound_by_weights_and_many_by_arithmetic() -> None:
    model, one = model_card("llama-3-8b"), Prompts(batch=1, tokens=1)
    weights = (
        model.layers
        * 2
        * (
            model.hidden * model.head_size * (2 * model.heads + 2 * model.kv_heads)
            + 3 * model.hidden * model.ffn
        )
    )
    weights += 2 * model.vocabulary * model.hidden
    least_ps = weights / L40.memory_bytes_per_second * 1e12
    assert least_ps <= compute_ps(model, L40, one, 1) <= 1.01 * least_ps
    many = Prompts(batch=8, tokens=1024)
    arithmetic_ps = model.layers * flops("llama-3-8b", many, 1) / L40.flops_per_second * 1e12
    assert arithmetic_ps <= compute_ps(model, L40, many, 1) <= 1.15 * arithmetic_ps


@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 16), tokens=st.integers(1, 4096), gpus=st.sampled_from([1, 2, 4, 8, 16])
)
def test_more_prompts_take_longer_and_more_gpus_never(batch: int, tokens: int, gpus: int) -> None:
    model, prompts = model_card("gemma-2-9b"), Prompts(batch=batch, tokens=tokens)
    now = compute_ps(model, L40, prompts, gpus)
    assert now < compute_ps(model, L40, Prompts(batch=batch + 1, tokens=tokens), gpus)
    assert now < compute_ps(model, L40, Prompts(batch=batch, tokens=tokens + 1), gpus)
    assert compute_ps(model, L40, prompts, 2 * gpus) <= now


def test_nothing_to_prefill_is_refused() -> None:
    for wrong in ({"batch": 0}, {"tokens": -1}):
        with pytest.raises(LinksimError, match="expected 1 or more"):
            Prompts(**wrong)
    with pytest.raises(LinksimError, match="0 GPUs"):
        layer_operations(model_card("llama-3-8b"), Prompts(), 0)
