"""Ways to sum: the library's times, closed forms, bytes to the byte, and refusals."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import pytest

from linksim.codecs.quantize import GroupQuantizer
from linksim.errors import LinksimError
from linksim.network import Transfer, simulate
from linksim.network.protocols import Collective, simulate_collective
from linksim.prefill import (
    Box,
    FirstToken,
    HierarchicalSum,
    LibrarySum,
    Prompts,
    TwoStepSum,
    all_reduce_ps,
    all_to_all_ps,
    box,
    compute_ps,
    first_token,
    kernel_record,
    lossless_method,
    model_card,
)
from linksim.prefill.kernels import add_ps, dequantize_ps, quantize_ps
from linksim.prefill.quantized_tasks import hierarchical_tasks, two_step_tasks
from linksim.units import PS_PER_US, ceil_div

INT4 = GroupQuantizer(bits=4, group=128)
ENGINE = "single-stage-w32"
MIB = 1 << 20
BF16 = LibrarySum()


@pytest.mark.parametrize("name", ["a100-8", "h100-8", "l40-4-host"])
@pytest.mark.parametrize("nbytes", [16 << 10, 4 << 20])
def test_the_library_is_that_of_the_validated_protocols(name: str, nbytes: int) -> None:
    where = box(name)
    known = simulate_collective(
        where.endpoint, Collective("all_reduce", where.card.gpus, nbytes), link=where.link
    )
    assert all_reduce_ps(where, LibrarySum(), nbytes) == known.time_ps


def two_step_closed_form(where: Box, quantizer: GroupQuantizer, elements: int) -> int:
    """Base, then per exchange steps and serialization, and three phases of the kernel."""
    n, record = where.card.gpus, kernel_record(where.gpu, quantizer)
    steps = where.endpoint.all_to_all_steps
    sent = 2 * quantizer.packed_nbytes(elements) * (n - 1) / n
    protocol = where.fastest_protocol(steps=2 * steps, sent_nbytes=sent)
    piece = elements // n
    fraction = Fraction(protocol.wire_fraction)
    coded = quantizer.packed_nbytes(piece)
    flits = where.link.flits(ceil_div(coded * fraction.denominator, fraction.numerator))
    exchange = (n - 1) * flits * where.link.flit_ps + where.link.flit_ps + 2 * where.link.flight_ps
    kernels = quantize_ps(record, elements) + dequantize_ps(record, elements)
    kernels += add_ps(record, quantizer, (n - 1) * piece) + quantize_ps(record, piece)
    fixed = round(protocol.base_us * PS_PER_US) + 3 * record.encoder.latency_ps
    return fixed + kernels + 2 * (where.step_ps(protocol, steps) + exchange)


@pytest.mark.parametrize("name", ["a100-4", "a100-8", "h100-8", "l40-4-host"])
@pytest.mark.parametrize("nbytes", [1 << 18, 1 << 22])
@pytest.mark.parametrize("bits", [2, 5, 8])
def test_two_steps_take_their_closed_form(name: str, nbytes: int, bits: int) -> None:
    quantizer = GroupQuantizer(bits=bits, group=64, spikes=bits == 2)
    where = box(name)
    method = TwoStepSum(name="two", quantizer=quantizer)
    expected = two_step_closed_form(where, quantizer, nbytes // 2)
    assert all_reduce_ps(where, method, nbytes) == expected
    # A fixed time that is left out would be seen.
    assert expected - kernel_record(where.gpu, quantizer).encoder.latency_ps != expected


def test_messages_of_two_steps_never_meet() -> None:
    where = box("a100-8")
    tasks = two_step_tasks(where, INT4, 40_000)
    fast = simulate(tasks, where.network(rounds=True))
    assert fast.makespan_ps == simulate(tasks, where.network()).makespan_ps


@pytest.mark.parametrize("name", ["l40-4-wire", "a100-4"])
@pytest.mark.parametrize("elements", [1, 129, 100_000])
def test_links_carry_whole_records(name: str, elements: int) -> None:
    where = box(name)
    sent = [t for t in two_step_tasks(where, INT4, elements) if isinstance(t, Transfer)]
    n = where.card.gpus
    pieces = [elements // n + (i < elements % n) for i in range(n)]
    records = 2 * (n - 1) * sum(INT4.packed_nbytes(piece) for piece in pieces)
    protocols = {Fraction(one.wire_fraction) for one in where.endpoint.protocols}
    raw = sum(transfer.coding.raw_total for transfer in sent)
    wire = sum(transfer.coding.wire_total for transfer in sent)
    assert raw == 2 * (n - 1) * 2 * elements
    # The records over the wire fraction of one protocol, each message rounded up.
    assert any(0 <= wire - records / fraction < len(sent) for fraction in protocols)
    # Codes alone, without what a group shares, would be fewer.
    assert not any(
        0 <= wire - 2 * (n - 1) * elements // 2 / fraction < len(sent) for fraction in protocols
    )


def test_sides_halve_what_crosses_between_them() -> None:
    where, elements = box("l40-4-wire"), 1 << 20
    left = set(where.sides[0])

    def crossing(tasks: list[object]) -> int:
        return sum(
            task.coding.raw_total
            for task in tasks
            if isinstance(task, Transfer) and (task.source in left) != (task.destination in left)
        )

    direct = crossing([*two_step_tasks(where, INT4, elements)])
    inside = crossing([*hierarchical_tasks(where, INT4, elements, chunks=8)])
    # Of the tensor: twice all of it each way, against once.
    assert (direct, inside) == (4 * 2 * elements, 2 * 2 * elements)


def test_chunks_overlap() -> None:
    where = box("l40-4-wire")
    one, eight = (
        all_reduce_ps(where, HierarchicalSum(name="s", quantizer=INT4, chunks=k), 16 * MIB)
        for k in (1, 8)
    )
    assert eight < one
    direct = all_reduce_ps(where, TwoStepSum(name="two", quantizer=INT4), 16 * MIB)
    assert eight < direct


def test_lossless_needs_as_many_cores_as_the_link_is_fast() -> None:
    where = box("h100-8")
    method = lossless_method("huffman", where, Fraction(7, 10), ENGINE)
    needed = where.link.payload_bytes_per_second / 0.7
    assert 64e9 * (method.engine.replicas - 1) < needed <= 64e9 * method.engine.replicas


def test_lossless_that_saves_nothing_is_slower_than_bf16_and_saving_helps() -> None:
    where = box("l40-4-host")
    plain = all_reduce_ps(where, LibrarySum(), 4 * MIB)
    times = [
        all_reduce_ps(where, lossless_method("h", where, Fraction(k, 10), ENGINE), 4 * MIB)
        for k in (10, 7, 5)
    ]
    assert plain < times[0] < 1.05 * plain
    assert times[2] < times[1] < plain
    # 30 % fewer bytes cannot save more than 30 % of the time.
    assert times[1] > 0.7 * plain


def test_fewer_bits_are_faster_where_bytes_count() -> None:
    where = box("a100-8")
    times = [
        all_reduce_ps(
            where, TwoStepSum(name="t", quantizer=GroupQuantizer(bits=b, group=128)), 8 * MIB
        )
        for b in (8, 6, 5, 4, 3, 2)
    ]
    assert times == sorted(times, reverse=True)
    exchanged = [
        all_to_all_ps(where, method, 8 * MIB)
        for method in (LibrarySum(), TwoStepSum(name="t", quantizer=INT4))
    ]
    assert exchanged[1] < exchanged[0]


def test_kernel_records_say_what_they_rest_on() -> None:
    where = box("a100-8")
    record = kernel_record(where.gpu, INT4)
    # 0.8 of 2039 GB/s: 2 bytes read and 33/64 written per value.
    raw = 2039 * 0.8 * 2 / (2 + 4.125 / 8)
    assert record.encoder.bytes_per_cycle == round(raw)
    assert record.encoder.latency_ps == 3_000_000
    assert {one.grade for one in record.evidence} == {"derived"}
    assert "no kernel was measured" in record.evidence[0].source


@dataclass(frozen=True)
class Wrong:
    message: str
    name: str = "a100-8"
    nbytes: int = MIB
    method: LibrarySum | HierarchicalSum = BF16


@pytest.mark.parametrize(
    "wrong",
    [
        Wrong("expected a multiple of 2", nbytes=3),
        Wrong("expected a multiple of 2", nbytes=0),
        Wrong("expected two sides", method=HierarchicalSum(name="s", quantizer=INT4)),
        Wrong(
            "expected 1 or more",
            name="l40-4-wire",
            method=HierarchicalSum(name="s", quantizer=INT4, chunks=0),
        ),
    ],
    ids=lambda wrong: wrong.message,
)
def test_what_cannot_be_summed_is_refused(wrong: Wrong) -> None:
    with pytest.raises(LinksimError, match=wrong.message):
        all_reduce_ps(box(wrong.name), wrong.method, wrong.nbytes)


def test_a_share_of_nothing_is_refused() -> None:
    for share in (Fraction(0), Fraction(3, 2)):
        with pytest.raises(LinksimError, match="expected above 0, at most 1"):
            lossless_method("h", box("a100-8"), share, ENGINE)


def test_first_tokens_add_up() -> None:
    model, where, prompts = model_card("llama-3-8b"), box("a100-8"), Prompts(batch=1, tokens=128)
    computing = compute_ps(model, where.gpu, prompts, 8)
    found = first_token(model, where, prompts, 1000)
    assert found == FirstToken(computing, 1000, 2 * 32, 0)
    assert found.total_ps == computing + 64_000
    assert found.communication_share == pytest.approx(64_000 / (computing + 64_000))
    half = first_token(model, where, prompts, 1000, overlap=0.5)
    assert half.total_ps == computing + 32_000
    # No more is hidden than there is computing to hide it behind.
    hidden = first_token(model, where, prompts, computing, overlap=1)
    assert hidden.hidden_ps == computing
    for wrong in ({"overlap": 1.1}, {"overlap": float("nan")}):
        with pytest.raises(LinksimError, match="overlap"):
            first_token(model, where, prompts, 1000, **wrong)
    with pytest.raises(LinksimError, match="expected 0 or more"):
        first_token(model, where, prompts, -1)
