"""The quantizer under cocotb. Runs inside the simulator; `test_regression.py` starts it."""

from __future__ import annotations

import cocotb

from tests.hw.cocotb.quantizer_coverage import QuantizerCoverage
from tests.hw.cocotb.quantizer_groups import QuantizerStimuli
from tests.hw.cocotb.quantizer_model import QuantizerModel
from tests.hw.cocotb.regression import Regression

REGRESSION = Regression.of_environment(QuantizerModel, QuantizerCoverage)
STIMULI = QuantizerStimuli(REGRESSION.model.definition, seed=3)
inputs = REGRESSION.model.inputs


@cocotb.test()
async def directed_at_every_pace(dut) -> None:
    await REGRESSION.at_every_pace(dut, inputs(STIMULI.directed()))


@cocotb.test()
async def at_random(dut) -> None:
    groups = STIMULI.at_random(REGRESSION.sized(300, 4000))
    await REGRESSION.at_random_pace(dut, inputs(groups))


@cocotb.test()
async def tensors_of_the_trace(dut) -> None:
    groups = STIMULI.from_trace(*REGRESSION.sized((8, 12), (16, None)))
    await REGRESSION.at_random_pace(dut, inputs(groups))


@cocotb.test()
async def reset_within_a_message(dut) -> None:
    await REGRESSION.reset_within(dut, inputs(STIMULI.at_random(80)))


@cocotb.test()
async def offers_do_not_wait_for_ready(dut) -> None:
    await REGRESSION.probe(dut, inputs(STIMULI.at_random(50)))


@cocotb.test()
async def faults_are_caught(dut) -> None:
    await REGRESSION.faults(dut, inputs(STIMULI.at_random(50)))


@cocotb.test()
async def every_bin_is_hit(dut) -> None:
    REGRESSION.report()
