"""Words of one size into words of another, where both are cut from the same fixed-size payload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out


@dataclass(frozen=True)
class Piece:
    """The part of a payload that a word carries."""

    start: int
    """First byte of the payload."""
    nbytes: int
    place: int = 0
    """Byte of the word where it begins."""

    @property
    def stop(self) -> int:
        """First byte of the payload behind it."""
        return self.start + self.nbytes


def pieces_of(sizes: Sequence[int], places: Sequence[int] = ()) -> list[Piece]:
    """Pieces of *sizes* bytes, one behind the other, each at its place (0 if none are given)."""
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    return [
        Piece(start, nbytes, place)
        for start, nbytes, place in zip(starts, sizes, places or [0] * len(sizes), strict=True)
    ]


def boxed_layout(word_nbytes: int, tag_bits: int) -> data.StructLayout:
    """A word, whether it is the last of its payload, and a tag that all words of one share."""
    return data.StructLayout({"data": 8 * word_nbytes, "end": 1, "tag": tag_bits})


class PayloadGearbox(wiring.Component):
    """Cuts payloads anew: *taken* words in, *given* words out, bytes that belong to neither zero.

    A word goes out in the cycle after the taken word that completes it came in; both sides run at
    one word a cycle, so a payload takes as many cycles as the side with more words. `i.ready`
    follows `o.ready` in the same cycle.

    Parameters
    ----------
    taken, given: what of the payload the words of each side carry, in order.
    taken_nbytes, given_nbytes: bytes of a word on each side.
    tag_bits: width of what is passed on with a payload.

    Raises
    ------
    ValueError where the sides are of different payloads.

    Members
    -------
    i: In, o: Out, streams of `boxed_layout`; `end` of the input is ignored.
    """

    def __init__(
        self,
        *,
        taken: Sequence[Piece],
        given: Sequence[Piece],
        taken_nbytes: int,
        given_nbytes: int,
        tag_bits: int,
    ):
        if taken[-1].stop != given[-1].stop:
            raise ValueError(
                f"payloads of {taken[-1].stop} and {given[-1].stop} bytes: expected the same"
            )
        self.taken, self.given = tuple(taken), tuple(given)
        self.given_nbytes = given_nbytes
        self.due = [self._word_of(piece.stop - 1) for piece in given]
        # How many taken words before the newest one a given word may still need.
        self.history = max(
            due - self._word_of(piece.start) for piece, due in zip(given, self.due, strict=True)
        )
        super().__init__(
            {
                "i": In(stream.Signature(boxed_layout(taken_nbytes, tag_bits))),
                "o": Out(stream.Signature(boxed_layout(given_nbytes, tag_bits))),
            }
        )

    def _word_of(self, byte: int) -> int:
        """Which taken word carries a byte of the payload."""
        return next(number for number, piece in enumerate(self.taken) if byte < piece.stop)

    def elaborate(self, platform):
        m = Module()
        # The newest word first.
        words = [
            Signal.like(self.i.p.data, name=f"word{age}", reset_less=True)
            for age in range(self.history + 1)
        ]
        tag = Signal.like(self.i.p.tag, name="tag", reset_less=True)
        held = Signal()
        taken = Signal(range(len(self.taken)))
        given = Signal(range(len(self.given)))
        finished, done = Signal(), Signal()
        with m.Switch(given):
            for number, due in enumerate(self.due):
                last = due not in self.due[number + 1 :]
                with m.Case(number):
                    m.d.comb += [
                        self.o.valid.eq(held & (taken == due)),
                        self.o.p.data.eq(self._cut(number, words)),
                        self.o.p.end.eq(number == len(self.given) - 1),
                        finished.eq(Mux(taken == due, self.o.ready & last, 1)),
                    ]
        m.d.comb += [
            self.o.p.tag.eq(tag),
            done.eq(held & finished),
            self.i.ready.eq(~held | done),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += given.eq(Mux(self.o.p.end, 0, given + 1))
        with m.If(done):
            m.d.sync += taken.eq(Mux(taken == len(self.taken) - 1, 0, taken + 1))
        with m.If(self.i.ready):
            m.d.sync += held.eq(self.i.valid)
        with m.If(self.i.ready & self.i.valid):
            m.d.sync += tag.eq(self.i.p.tag)
            m.d.sync += [
                word.eq(before)
                for word, before in zip(words, [self.i.p.data, *words[:-1]], strict=True)
            ]
        return m

    def _cut(self, number: int, words: Sequence[Value]) -> Value:
        """Given word *number* once the taken word that completes it is the newest of *words*."""
        piece, due = self.given[number], self.due[number]
        parts: list[Value] = [Const(0, 8 * piece.place)]
        for taken in range(self._word_of(piece.start), due + 1):
            source = self.taken[taken]
            start, stop = max(piece.start, source.start), min(piece.stop, source.stop)
            low = source.place + start - source.start
            parts.append(words[due - taken][8 * low : 8 * (low + stop - start)])
        return Cat(*parts)
