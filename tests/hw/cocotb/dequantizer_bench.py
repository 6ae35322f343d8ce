"""The dequantizer under cocotb. Runs inside the simulator; `test_regression.py` starts it."""

from __future__ import annotations

import cocotb

from tests.hw.cocotb.dequantizer_coverage import DequantizerCoverage
from tests.hw.cocotb.quantizer_groups import QuantizerStimuli
from tests.hw.cocotb.quantizer_model import DequantizerModel
from tests.hw.cocotb.regression import Regression
from tests.hw.quantizer_stimuli import any_groups

REGRESSION = Regression.of_environment(DequantizerModel, DequantizerCoverage)
DEFINITION = REGRESSION.model.definition
STIMULI = QuantizerStimuli(DEFINITION, seed=4)


def inputs(messages) -> list[int]:
    """What a quantizer makes of *messages*."""
    quantized = (DEFINITION.quantize(message.reshape(-1)) for message in messages)
    return REGRESSION.model.inputs(quantized)


def anything(groups: int) -> list[int]:
    """Groups of any scale, zero and codes."""
    return REGRESSION.model.inputs(any_groups(DEFINITION, seed, 4) for seed in range(groups // 4))


@cocotb.test()
async def directed_at_every_pace(dut) -> None:
    await REGRESSION.at_every_pace(dut, inputs(STIMULI.directed()))


@cocotb.test()
async def anything_at_random(dut) -> None:
    await REGRESSION.at_random_pace(dut, anything(REGRESSION.sized(400, 4000)))


@cocotb.test()
async def tensors_of_the_trace(dut) -> None:
    groups = STIMULI.from_trace(*REGRESSION.sized((8, 12), (16, None)))
    await REGRESSION.at_random_pace(dut, inputs(groups))


@cocotb.test()
async def reset_within_a_message(dut) -> None:
    await REGRESSION.reset_within(dut, anything(80))


@cocotb.test()
async def offers_do_not_wait_for_ready(dut) -> None:
    await REGRESSION.probe(dut, anything(40))


@cocotb.test()
async def faults_are_caught(dut) -> None:
    await REGRESSION.faults(dut, inputs(STIMULI.at_random(50)))


@cocotb.test()
async def every_bin_is_hit(dut) -> None:
    REGRESSION.report()
