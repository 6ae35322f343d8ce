"""cocotb's side: drives the Verilog of an encoder and compares with the codec.

Runs inside the simulator; `test_link_encoder.py` builds it and starts it. Which encoder is said by
the environment: LINKSIM_WIDTH, LINKSIM_PAYLOAD.
"""

from __future__ import annotations

import os

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge, with_timeout

from hw.huffman.encoder import row_layout
from hw.huffman.shape import LinkShape
from linksim.codecs import CodebookSet, HuffmanFixed
from tests.conftest import gaussian

WIDTH = int(os.environ["LINKSIM_WIDTH"])
PAYLOAD = int(os.environ["LINKSIM_PAYLOAD"])
BOOK = CodebookSet.shipped("universal").select("bf16", "exponent", "any")[0]
SHAPE = LinkShape.of([BOOK], values_per_cycle=WIDTH, payload_nbytes=PAYLOAD, run_symbols=64)
ROW = row_layout(SHAPE, slot_bits=1)


def rows_of(values: np.ndarray) -> list[int]:
    """The rows of a message as numbers for the port `i__payload`."""
    symbols, rest = BOOK.symbol_view.split(values)
    rows = []
    for start in range(0, len(values), WIDTH):
        part = slice(start, start + WIDTH)
        count = len(symbols[part])
        empty = [0] * (WIDTH - count)
        row = ROW.const(
            {
                "symbols": [*symbols[part].tolist(), *empty],
                "rest": [*rest[part].tolist(), *empty],
                "count": count,
                "last": start + WIDTH >= len(values),
                "slot": 1,
            }
        )
        rows.append(row.as_value().value)
    return rows


async def reset(dut) -> None:
    """Starts the clock; the first edge without reset is the next one."""
    dut.i__valid.value = 0
    dut.i__payload.value = 0
    dut.o__ready.value = 0
    dut.rst.value = 1
    cocotb.start_soon(Clock(dut.clk, 1000, unit="ps").start())
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    dut.rst.value = 0


async def feed(dut, rows: list[int], pace: float, rng: np.random.Generator) -> None:
    for row in rows:
        while rng.random() >= pace:
            dut.i__valid.value = 0
            await RisingEdge(dut.clk)
        dut.i__valid.value = 1
        dut.i__payload.value = row
        while True:
            await ReadOnly()
            taken = bool(dut.i__ready.value)
            await RisingEdge(dut.clk)
            if taken:
                break
    dut.i__valid.value = 0


async def collect(dut, count: int, pace: float, rng: np.random.Generator) -> list[bytes]:
    """The next *count* messages."""
    messages, current = [], b""
    while len(messages) < count:
        ready = rng.random() < pace
        dut.o__ready.value = ready
        await ReadOnly()
        valid = bool(dut.o__valid.value)
        flit = int(dut.o__payload.value) if valid and ready else 0
        await RisingEdge(dut.clk)
        if valid and ready:
            payload, first, last = (
                flit & (1 << 8 * PAYLOAD) - 1,
                flit >> 8 * PAYLOAD & 1,
                flit >> 8 * PAYLOAD + 1,
            )
            assert bool(first) == (not current)
            current += payload.to_bytes(PAYLOAD, "little")
            if last:
                messages.append(current)
                current = b""
    return messages


@cocotb.test()
@cocotb.parametrize(offered=[1.0, 0.5], taken=[1.0, 0.3])
async def messages_are_the_codecs(dut, offered: float, taken: float) -> None:
    rng = np.random.default_rng([int(10 * offered), int(10 * taken)])
    tensors = [
        np.concatenate(
            [
                gaussian(int(rng.integers(1, 900)), seed=int(rng.integers(1000))),
                gaussian(int(rng.integers(300)), seed=int(rng.integers(1000)), scale=1e30),
            ]
        )
        for _ in range(12)
    ]
    codec = HuffmanFixed([BOOK], "link", payload_nbytes=PAYLOAD)
    await reset(dut)
    rows = [row for values in tensors for row in rows_of(values)]
    cocotb.start_soon(feed(dut, rows, offered, rng))
    got = await with_timeout(
        collect(dut, len(tensors), taken, np.random.default_rng(1)), 100_000, "ns"
    )
    for values, message in zip(tensors, got, strict=True):
        assert message == codec.encode(values)
