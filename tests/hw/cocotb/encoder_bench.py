"""The link encoder under cocotb. Runs inside the simulator; `test_regression.py` starts it."""

from __future__ import annotations

import cocotb

from tests.hw.cocotb.encoder_model import EncoderCoverage, EncoderModel
from tests.hw.cocotb.link_stimuli import LinkStimuli
from tests.hw.cocotb.regression import Regression

REGRESSION = Regression.of_environment(EncoderModel, EncoderCoverage)
STIMULI = LinkStimuli(REGRESSION.model.codec, seed=1)


@cocotb.test()
async def directed_at_every_pace(dut) -> None:
    rows = REGRESSION.model.inputs(list(STIMULI.directed()))
    await REGRESSION.at_every_pace(dut, rows)


@cocotb.test()
async def at_random(dut) -> None:
    messages = list(STIMULI.at_random(REGRESSION.sized(400, 2000)))
    await REGRESSION.at_random_pace(dut, REGRESSION.model.inputs(messages))


@cocotb.test()
async def tensors_of_the_trace(dut) -> None:
    messages = list(STIMULI.from_trace(*REGRESSION.sized((300, 12), (512, 200))))
    await REGRESSION.at_random_pace(dut, REGRESSION.model.inputs(messages))


@cocotb.test()
async def reset_within_a_message(dut) -> None:
    await REGRESSION.reset_within(dut, REGRESSION.model.inputs(list(STIMULI.at_random(40))))


@cocotb.test()
async def offers_do_not_wait_for_ready(dut) -> None:
    await REGRESSION.probe(dut, REGRESSION.model.inputs(list(STIMULI.at_random(20))))


@cocotb.test()
async def faults_are_caught(dut) -> None:
    await REGRESSION.faults(dut, REGRESSION.model.inputs(list(STIMULI.at_random(30))))


@cocotb.test()
async def every_bin_is_hit(dut) -> None:
    REGRESSION.report()
