"""What the figures of a link are: their allowed ranges, its line code, flit format and retry."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import model_validator

from linksim.catalogue import Strict, Text, number, whole

FULL_RATE = "full-rate"
"""Stands for the credits that keep the link at full rate, with a margin."""

Lanes = Annotated[int, whole("lanes per direction, a whole number from 1 to 4096", 1, 4096)]
RateGtps = Annotated[
    float, number("a lane's rate in GT/s, from 0.1 to 500 (32 stands for 32 GT/s)", 0.1, 500)
]
FlitBytes = Annotated[int, whole("bytes per flit, a whole number from 1 to 65536", 1, 65536)]
OverheadBytes = Annotated[int, whole("bytes of a flit, a whole number from 0 to 65536", 0, 65536)]
Nanoseconds = Annotated[float, number("nanoseconds one way, from 0 to 1e9", 0, 1e9)]
_CREDITS = f'flits that the receiver can hold, a whole number from 1 to 1e7, or "{FULL_RATE}"'
Credits = Annotated[int, whole(_CREDITS, 1, 10**7, or_word=FULL_RATE)]
CreditsOrFullRate = Annotated[
    int | Literal["full-rate"], whole(_CREDITS, 1, 10**7, or_word=FULL_RATE)
]
BufferBytes = Annotated[int, whole("bytes of receiver buffer, from 1 to 1e10", 1, 10**10)]
VirtualChannels = Annotated[int, whole("virtual channels, a whole number from 1 to 64", 1, 64)]
PicojoulesPerBit = Annotated[float, number("picojoules per bit, from 0 to 1000", 0, 1000)]
BitErrorRate = Annotated[float, number("wrong bits per bit on the wire, from 0 to 1", 0, 1)]
CodeBits = Annotated[int, whole("bits of a line code's block, from 1 to 1024", 1, 1024)]
SequenceBits = Annotated[int, whole("bits of a sequence number, from 2 to 20", 2, 20)]
TimerFlits = Annotated[int, whole("flit times until a replay, from 1 to 1e9", 1, 10**9)]
Replays = Annotated[int, whole("replays of one flit, from 1 to 1e6", 1, 10**6)]
BurstFlits = Annotated[int, whole("flits that one error event spoils, from 1 to 1e6", 1, 10**6)]
AckSlots = Annotated[int, whole("flits from one Ack to the next, from 1 to 64", 1, 64)]


class LineCode(Strict):
    """Line code: of every *line_bits* on a lane *data_bits* belong to flits."""

    data_bits: CodeBits
    line_bits: CodeBits

    @model_validator(mode="after")
    def _data_fits(self) -> LineCode:
        if self.data_bits > self.line_bits:
            raise ValueError("expected data_bits to be at most line_bits")
        return self


class FlitFormat(Strict):
    """What the link sends as one unit, and how much of it is the user's.

    Bytes that are neither header, CRC nor payload are reserved or filled by another layer.
    """

    name: Text
    nbytes: FlitBytes
    header_nbytes: OverheadBytes = 0
    crc_nbytes: OverheadBytes = 0
    payload_nbytes: FlitBytes
    maximum_rate_gtps: RateGtps | None = None
    """Fastest lane rate that the format is defined for. None: any."""

    @model_validator(mode="after")
    def _parts_fit(self) -> FlitFormat:
        if self.payload_nbytes > self.nbytes:
            raise ValueError(
                f"expected payload_nbytes ({self.payload_nbytes}) to be at most "
                f"nbytes ({self.nbytes})"
            )
        parts = self.header_nbytes + self.crc_nbytes + self.payload_nbytes
        if parts > self.nbytes:
            raise ValueError(
                f"expected header_nbytes, crc_nbytes and payload_nbytes ({parts} together) to be "
                f"at most nbytes ({self.nbytes})"
            )
        return self

    @property
    def raw(self) -> bool:
        """Whether every byte is the user's, so that the link cannot detect an error."""
        return self.payload_nbytes == self.nbytes

    @property
    def efficiency(self) -> float:
        """Share of a flit that is the user's."""
        return self.payload_nbytes / self.nbytes


class Retry(Strict):
    """How a link makes good a flit that arrives with an error."""

    protocol: Literal["go-back-n", "per-packet"]
    """go-back-n: the wrong flit and all sent after it are sent again; per-packet: only that one."""
    sequence_bits: SequenceBits
    """Flits are numbered modulo 2 to the power of this."""
    timer_flits: TimerFlits
    """Flit times without an acknowledgement after which the transmitter replays by itself."""
    maximum_replays: Replays = 4
    """Replays of one flit, after which the link counts as failed."""
    ack_slots: AckSlots = 1
    """Every how many flits of the other direction one carries an Ack or Nak."""
    burst_flits: BurstFlits = 1
    """Flits in a row that one error event spoils."""
