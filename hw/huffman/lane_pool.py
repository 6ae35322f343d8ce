"""The decoder of the link profile with a pool of lanes, one run of a flit each."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.huffman.decoder_lane import DecoderLane
from hw.huffman.layouts import word_layout
from hw.huffman.run_feeder import RunFeeder, WindowCutter
from hw.huffman.run_memories import FlitMemory, RecordMemory
from hw.huffman.run_parser import FlitIntake, RunParser
from hw.huffman.run_plan import (
    BAYS,
    LANES_PER_FEEDER,
    RECEIVED_FLITS,
    STORED_FLITS,
    WINDOW_WORDS,
    RunPlan,
)
from hw.huffman.run_reader import ReorderBanks, RunReader, rows_layout
from hw.huffman.shape import LinkShape
from linksim.codecs import Codebook


class LanePoolDecoder(wiring.Component):
    """Decodes flits with *values_per_cycle* lanes, each working on a run of its own.

    Values and verdicts are those of `HuffmanFixed.decode`. Flits do not depend on one another: what
    is wrong with one shows in its own last row.

    **Throughput**: a lane loses a cycle or two per run, so flits of v values in k runs take about
    (v + k) / W cycles each while input and output keep pace. Rows have twice as many places as
    there are lanes where a run fills them, because they end with their run.
    **Latency**: from the last word of a flit to its first row, in an idle decoder, the values of
    the first run, 4 cycles for every 128 bits of it beyond the first, and `least_latency` to
    `latency` more, by the phase of the feeders. A flit's last run is checked to the end of the gap
    before its row leaves.
    **Back-pressure**: rows are kept in memory until they are taken; then lanes wait for room, and
    at last `i.ready` falls. `o` is a function of registers.

    Parameters
    ----------
    codebooks: 1 to 8 books of one number format and view, of at most 12 bits a code word.
    values_per_cycle: W, number of lanes, 4, 8, 16, 32 or 64.
    payload_nbytes: P. run_symbols: q. words_per_flit: words in which a flit comes.

    Members
    -------
    i: In, stream of words, see `word_layout`. o: Out, stream of rows, see `rows_layout`.
    """

    def __init__(
        self,
        *,
        codebooks: Sequence[Codebook],
        values_per_cycle: int,
        payload_nbytes: int = 240,
        run_symbols: int = 64,
        words_per_flit: int = 4,
    ):
        self.codebooks = tuple(codebooks)
        self.shape = LinkShape.of(
            self.codebooks,
            values_per_cycle=values_per_cycle,
            payload_nbytes=payload_nbytes,
            run_symbols=run_symbols,
            words_per_flit=words_per_flit,
        )
        self.plan = RunPlan(self.shape, len(self.codebooks))
        self.least_latency, self.latency = 18, 21
        super().__init__(
            {
                "i": In(stream.Signature(word_layout(self.shape))),
                "o": Out(stream.Signature(rows_layout(self.plan))),
            }
        )

    @property
    def row_values(self) -> int:
        """Places of a row."""
        return self.plan.row_values

    @property
    def memory_bits(self) -> dict[str, int]:
        """Bits of memory by use: what is not counted as logic."""
        plan, shape = self.plan, self.shape
        flit = 8 * shape.word_nbytes * shape.words_per_flit
        word = Shape.cast(plan.word_layout()).width
        return {
            "flits for their rest bytes": STORED_FLITS * flit,
            "received flits": plan.units * RECEIVED_FLITS * flit,
            "runs": plan.lanes * BAYS * plan.area_words * word,
            "reordering": plan.lanes * BAYS * shape.run_symbols * shape.symbol_bits,
            "order of runs": 4 * plan.lanes * Shape.cast(plan.order_layout()).width,
        }

    def elaborate(self, platform):
        m = Module()
        plan = self.plan
        turn, beat = Signal(range(WINDOW_WORDS)), Signal(plan.lane_bits)
        m.d.sync += [turn.eq(turn + 1), beat.eq(beat + 1)]
        m.submodules.intake = intake = FlitIntake(plan)
        m.submodules.parser = parser = RunParser(plan)
        m.submodules.reader = reader = RunReader(plan)
        wiring.connect(m, wiring.flipped(self.i), intake.i)
        wiring.connect(m, reader.o, wiring.flipped(self.o))
        feeders = [RunFeeder(plan, place=index % WINDOW_WORDS) for index in range(plan.feeders)]
        for index, feeder in enumerate(feeders):
            m.submodules[f"feeder{index}"] = feeder
            m.d.comb += feeder.turn.eq(turn)
        m.d.comb += [
            parser.tail.eq(intake.tail),
            parser.tail_valid.eq(intake.tail_valid),
            intake.tail_taken.eq(parser.tail_taken),
            intake.parsed.eq(parser.parsed),
            intake.released.eq(reader.released),
        ]
        self._store(m, intake, reader)
        self._cutters(m, intake, feeders, reader, turn)
        self._hand_out(m, parser, feeders, reader)
        self._lanes(m, feeders, reader, turn, beat)
        return m

    def _flit_memory(self, m: Module, name: str, intake: FlitIntake, depth: int) -> FlitMemory:
        memory = FlitMemory(self.shape, depth=depth)
        m.submodules[name] = memory
        m.d.comb += [
            memory.write.eq(intake.write),
            memory.write_slot.eq(intake.slot),
            memory.write_word.eq(intake.word),
            memory.write_data.eq(intake.data),
        ]
        return memory

    def _store(self, m: Module, intake: FlitIntake, reader: RunReader) -> None:
        """Whole flits for the sake of their rest bytes."""
        memory = self._flit_memory(m, "stored", intake, STORED_FLITS)
        m.d.comb += [
            memory.read.eq(reader.read),
            memory.slot.eq(reader.slot),
            reader.flit.eq(memory.flit),
        ]

    def _cutters(
        self,
        m: Module,
        intake: FlitIntake,
        feeders: list[RunFeeder],
        reader: RunReader,
        turn: Value,
    ) -> None:
        using: Value = 0
        for unit in range(self.plan.units):
            cutter = WindowCutter(self.plan)
            m.submodules[f"cutter{unit}"] = cutter
            memory = self._flit_memory(m, f"received{unit}", intake, RECEIVED_FLITS)
            m.d.comb += [
                memory.read.eq(1),
                memory.slot.eq(cutter.cut.slot),
                cutter.flit.eq(memory.flit),
                reader.stray[unit].eq(cutter.stray),
                reader.stray_slot[unit].eq(cutter.stray_slot),
            ]
            served = feeders[unit * WINDOW_WORDS : (unit + 1) * WINDOW_WORDS]
            with m.Switch(turn):
                for place, feeder in enumerate(served):
                    with m.Case(place):
                        m.d.comb += cutter.cut.eq(feeder.cut)
            for feeder in served:
                m.d.comb += [
                    feeder.words.eq(cutter.words),
                    feeder.placing.eq(cutter.placing),
                ]
                using = using | feeder.using
        m.d.comb += intake.using.eq(using)

    def _hand_out(
        self, m: Module, parser: RunParser, feeders: list[RunFeeder], reader: RunReader
    ) -> None:
        """The next run to the first feeder with a lane for it, and into the order of rows."""
        offered, taken = Signal(), Signal()
        m.d.comb += [
            offered.eq(parser.valid & ~parser.void & reader.order_room),
            reader.order.eq(parser.order),
            reader.order_write.eq(parser.take),
            parser.take.eq(taken | (parser.valid & parser.void & reader.order_room)),
        ]
        for index, feeder in reversed(list(enumerate(feeders))):
            m.d.comb += feeder.run.eq(parser.run)
            with m.If(feeder.free):
                m.d.comb += reader.order.lane.eq(
                    Cat(feeder.lane, Const(index, range(max(len(feeders), 2))))
                )
                m.d.comb += reader.order.bay.eq(feeder.bay)
        earlier: Value = 0
        for feeder in feeders:
            m.d.comb += feeder.take.eq(offered & feeder.free & ~earlier)
            earlier = earlier | feeder.free
        m.d.comb += taken.eq(offered & earlier)

    def _lanes(
        self,
        m: Module,
        feeders: list[RunFeeder],
        reader: RunReader,
        turn: Value,
        beat: Value,
    ) -> None:
        plan = self.plan
        m.submodules.banks = banks = ReorderBanks(plan)
        m.d.comb += [
            banks.beat.eq(beat),
            banks.read.eq(reader.read),
            banks.lane.eq(reader.lane),
            banks.bay.eq(reader.bay),
            banks.row.eq(reader.row),
            reader.symbols.eq(banks.symbols),
        ]
        lanes: list[DecoderLane] = []
        for index in range(plan.lanes):
            lane = DecoderLane(self.codebooks, plan)
            m.submodules[f"lane{index}"] = lane
            feeder, place = feeders[index // LANES_PER_FEEDER], index % LANES_PER_FEEDER
            m.d.comb += [
                lane.beat.eq(beat),
                lane.slot.eq(turn[0] == place % 2),
                feeder.wants[place].eq(lane.wants),
                feeder.bays[place].eq(lane.bay),
                lane.assigned.eq(feeder.assigned[place]),
                lane.loaded.eq(feeder.loaded[place]),
                lane.taken.eq(reader.taken[2 * index : 2 * index + 2]),
                reader.done[2 * index : 2 * index + 2].eq(lane.done),
                reader.broken[2 * index : 2 * index + 2].eq(lane.broken),
                reader.started[2 * index].eq(lane.started[0]),
                reader.started[2 * index + 1].eq(lane.started[1]),
                banks.lanes[index].eq(lane.o),
            ]
            lanes.append(lane)
        for pair in range(plan.lanes // 2):
            self._run_memory(m, pair, feeders, lanes, turn)

    def _run_memory(
        self,
        m: Module,
        pair: int,
        feeders: list[RunFeeder],
        lanes: list[DecoderLane],
        turn: Value,
    ) -> None:
        """What two neighbouring lanes have to decode; they read in turn."""
        even, odd = lanes[2 * pair], lanes[2 * pair + 1]
        feeder, place = divmod(pair, LANES_PER_FEEDER // 2)
        memory = RecordMemory(self.plan.word_layout(), depth=4 * self.plan.area_words)
        m.submodules[f"runs{pair}"] = memory
        m.d.comb += [
            memory.write.eq(feeders[feeder].write[place]),
            memory.write_address.eq(feeders[feeder].address),
            memory.write_data.eq(feeders[feeder].word),
            memory.read.eq(1),
            even.word.eq(memory.data),
            odd.word.eq(memory.data),
            memory.address.eq(
                Mux(turn[0], Cat(odd.index, odd.area, Const(1, 1)), Cat(even.index, even.area))
            ),
        ]
