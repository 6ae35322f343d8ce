"""The link decoders under cocotb. Runs inside the simulator; `test_regression.py` starts it."""

from __future__ import annotations

import cocotb

from tests.hw.cocotb.decoder_coverage import DecoderCoverage
from tests.hw.cocotb.decoder_model import DecoderModel
from tests.hw.cocotb.decoder_stimuli import DecoderStimuli
from tests.hw.cocotb.regression import Regression

REGRESSION = Regression.of_environment(DecoderModel, DecoderCoverage)
STIMULI = DecoderStimuli(REGRESSION.model, seed=2)


def inputs(*stimuli) -> list[int]:
    return REGRESSION.model.inputs([flits for stimulus in stimuli for flits in stimulus])


@cocotb.test()
async def right_flits_at_every_pace(dut) -> None:
    await REGRESSION.at_every_pace(
        dut, inputs(STIMULI.good(20), STIMULI.lone(), STIMULI.in_places(), STIMULI.just_full())
    )


@cocotb.test()
async def every_bias(dut) -> None:
    await REGRESSION.at_random_pace(dut, inputs(STIMULI.biased()))


@cocotb.test()
async def wrong_flits_are_refused(dut) -> None:
    flips = REGRESSION.sized(60, 240)
    await REGRESSION.at_random_pace(dut, inputs(STIMULI.wrong(flips)))


@cocotb.test()
async def at_random(dut) -> None:
    await REGRESSION.at_random_pace(dut, inputs(STIMULI.good(REGRESSION.sized(60, 250))))


@cocotb.test()
async def tensors_of_the_trace(dut) -> None:
    stimulus = STIMULI.from_trace(*REGRESSION.sized((300, 12), (256, 100)))
    await REGRESSION.at_random_pace(dut, inputs(stimulus))


@cocotb.test()
async def reset_within_a_message(dut) -> None:
    await REGRESSION.reset_within(dut, inputs(list(STIMULI.wrong(0))[:80]))


@cocotb.test()
async def offers_do_not_wait_for_ready(dut) -> None:
    await REGRESSION.probe(dut, inputs(list(STIMULI.wrong(0))[:24]))


@cocotb.test()
async def faults_are_caught(dut) -> None:
    await REGRESSION.faults(dut, inputs(list(STIMULI.wrong(0))[:12]))


@cocotb.test()
async def every_bin_is_hit(dut) -> None:
    REGRESSION.report()
