"""Real flits of 256 bytes, with their real checksums and flipped bits, through the protocols."""

from __future__ import annotations

import numpy as np
import pytest

from linksim.links import crc
from linksim.links.crc import block_checksum
from linksim.links.retry import FlitErrors, RetryLink
from linksim.links.retry.reference import Answer, Channel, Flit, run_reference
from tests.links.retry.links import ucie

FLIT_BITS = 2048
PAYLOAD_NBYTES = 250


def framed(number: int, payload: bytes, nak: bool = False) -> bytes:
    """UCIe's format 6: header of 2 bytes, payload, and a checksum over each half."""
    body = bytes([nak, number]) + payload.ljust(PAYLOAD_NBYTES, b"\0")
    return b"".join(half + block_checksum(half) for half in (body[:126], body[126:]))


def unframed(flit: bytes) -> tuple[int, bytes, bool] | None:
    """Number, payload and Nak; None where a checksum does not hold."""
    halves = (flit[:128], flit[128:])
    if any(block_checksum(half[:126]) != half[126:] for half in halves):
        return None
    body = halves[0][:126] + halves[1][:126]
    return body[1], body[2:], bool(body[0])


class NoisyChannel(Channel):
    """Flips every bit of every flit with *bit_error_rate*, both ways."""

    def __init__(self, bit_error_rate: float, seed: int):
        super().__init__(FlitErrors(event_probability=0))
        self._rate = bit_error_rate
        self._rng = np.random.default_rng(seed)
        self.hit = self.found = 0

    def _through(self, flit: bytes) -> tuple[int, bytes, bool] | None:
        bits = np.unpackbits(np.frombuffer(flit, np.uint8))
        flips = self._rng.random(FLIT_BITS) < self._rate
        found = unframed(np.packbits(bits ^ flips).tobytes())
        self.hit += bool(flips.any())
        self.found += found is None
        return found

    def carry(self, slot: int, flit: Flit, *, wanted: bool) -> Flit | None:
        found = self._through(framed(flit.number, flit.payload))
        return found and Flit(flit.index, found[0], found[1])

    def carry_back(self, slot: int, answer: Answer) -> Answer | None:
        found = self._through(framed(answer.number, b"", answer.nak))
        if found is None:
            return None
        return Answer(found[0], found[2], answer.damaged_slots, answer.whole_slots)


def payloads(count: int) -> list[bytes]:
    rng = np.random.default_rng(11)
    return [rng.bytes(PAYLOAD_NBYTES) for _ in range(count)]


@pytest.mark.parametrize("protocol", ["go-back-n", "per-packet"])
@pytest.mark.parametrize("bit_error_rate", [1e-5, 1e-4])
def test_every_byte_arrives(protocol: str, bit_error_rate: float) -> None:
    link = ucie(protocol=protocol, maximum_replays=50)
    channel = NoisyChannel(bit_error_rate, seed=1)
    sent = payloads(600)
    result, handed_on = run_reference(link, sent, channel)
    assert [flit.payload for flit in handed_on] == sent
    assert result.failure is None
    assert channel.found == channel.hit > 0


def test_a_checksum_that_finds_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.links.retry import test_bit_true

    monkeypatch.setattr(test_bit_true, "block_checksum", lambda body: b"\0\0")
    sent = payloads(300)
    channel = NoisyChannel(1e-5, seed=1)
    # A wrong number passes too, so the link may even stop; nothing that arrives is to be trusted.
    _, handed_on = run_reference(_short(), sent, channel)
    assert channel.hit > channel.found
    assert [flit.payload for flit in handed_on] != sent


def _short() -> RetryLink:
    return ucie(maximum_replays=5, timer_flits=60)


def test_the_frame_is_checked_by_the_one_definition() -> None:
    flit = framed(3, b"payload")
    assert flit[126:128] == crc.UCIE_CRC.checksum(flit[:126] + bytes(2)).to_bytes(2, "little")
    assert unframed(flit) == (3, b"payload".ljust(PAYLOAD_NBYTES, b"\0"), False)
