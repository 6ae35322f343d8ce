"""The quantizer's queue and its credits, and the stream contract of what is around it."""

from __future__ import annotations

from amaranth import Module, Signal, Value
from amaranth.lib import data

from hw.formal.buffers import FollowedWord
from hw.formal.contract import contract, hold_input, leak
from hw.formal.harness import Harness
from hw.formal.mutants import statement
from hw.formal.prove import Property
from hw.quantizer.dequantizer import Dequantizer
from hw.quantizer.group_queue import GroupQueue
from hw.quantizer.quantizer import Quantizer
from hw.quantizer.record_packer import RecordPacker
from hw.quantizer.record_unpacker import RecordUnpacker
from linksim.codecs.quantize import GroupQuantizer

SMALL = GroupQuantizer(bits=2, group=32)


class QueuedGroups(Harness):
    """Order and stream contract of the queue, filled only while it has room."""

    def __init__(self, depth: int):
        super().__init__()
        self.dut = GroupQueue(layout=data.StructLayout({"group": 2}), depth=depth)

    def describe(self, m: Module) -> None:
        m.submodules.dut = dut = self.dut
        self.free_inputs(m, dut)
        valid, payload = self.show(m, dut.o.valid, "o_valid"), self.show(m, dut.o.payload, "out")
        leaves = valid & dut.o.ready
        followed = FollowedWord(
            self,
            m,
            capacity=dut.depth,
            enters=dut.arriving,
            entering=Value.cast(dut.group),
            leaves=leaves,
            # A group may come and go in one cycle.
            offered=valid,
            leaving=payload,
        )
        self.assume(m, ~dut.arriving | (followed.held < dut.depth))
        waiting = Signal()
        m.d.sync += waiting.eq(valid & ~dut.o.ready)
        before = self.delayed(m, payload, 1, "payload")
        self.check(m, "valid_stays", ~waiting | valid, "what is offered is not withdrawn")
        self.check(
            m, "payload_stays", ~waiting | (payload == before), "what is offered does not change"
        )


class Credits(Harness):
    """The quantizer begins no group for which its queue will have no room."""

    lean = True

    def __init__(self) -> None:
        super().__init__()
        self.dut = Quantizer(definition=SMALL, values_per_cycle=32)

    def describe(self, m: Module) -> None:
        m.submodules.dut = dut = self.dut
        self.free_inputs(m, dut)
        hold_input(self, m, dut.i)
        inside = Signal(range(dut.queue_groups + 2), name="inside")
        self.shown.append("inside")
        taken, given = dut.i.valid & dut.i.ready, dut.o.valid & dut.o.ready
        m.d.sync += inside.eq(inside + taken - given)
        self.check(
            m, "credits", inside <= dut.queue_groups, "no more groups are inside than fit the queue"
        )
        room = self.spy(m, range(dut.queue_groups + 1), "dut.room")
        self.check(m, "room", room + inside == dut.queue_groups, "all credits are accounted for")
        self.check(m, "nothing_else", ~given | (inside != 0), "no group comes from nowhere")
        self.reach(m, "full", inside == dut.queue_groups)
        self.reach(m, "given", given)


def _queue(depth: int) -> Property:
    def stuck(m, queue):
        m.d.comb += queue.o.payload.as_value()[0].eq(queue.group.as_value()[0])

    return Property(
        name=f"group-queue-{depth}",
        sentence="every group leaves the quantizer's queue once, in order; what is offered stays",
        build=lambda: QueuedGroups(depth),
        depth=3 * depth + 4,
        mutants=(statement("one bit is that of the group that arrives", GroupQueue, stuck),),
    )


def _credits() -> Property:
    def careless(m, quantizer):
        m.d.comb += quantizer.i.ready.eq(1)

    return Property(
        name="quantizer-credits",
        sentence="the quantizer takes no group for which its queue will have no room",
        build=Credits,
        depth=20,
        mutants=(statement("rows are always taken", Quantizer, careless),),
    )


def _one_slot(harness: Harness, m: Module, packer: RecordPacker) -> None:
    harness.assume(m, packer.slot == 1)


def _whole_rows(harness: Harness, m: Module, unpacker: RecordUnpacker) -> None:
    harness.assume(m, unpacker.i.p.count <= unpacker.bytes_per_cycle)


PROPERTIES = (
    _queue(2),
    _queue(3),
    _credits(),
    contract(
        "dequantizer",
        lambda: Dequantizer(definition=SMALL, values_per_cycle=8),
        leak(Dequantizer),
        depth=12,
    ),
    contract(
        "record-packer",
        lambda: RecordPacker(definition=SMALL, bytes_per_cycle=8),
        leak(RecordPacker),
        depth=12,
        surround=_one_slot,
    ),
    contract(
        "record-unpacker",
        lambda: RecordUnpacker(definition=SMALL, bytes_per_cycle=8, values_per_cycle=8),
        leak(RecordUnpacker),
        depth=14,
        # Which bytes its ring holds is told by several counters together.
        induction=None,
        surround=_whole_rows,
    ),
)
