"""Small links and engines for the tests, and an independent model of one link."""

import numpy as np

from linksim.engines import EngineRecord, Stage, Statistics
from linksim.links import FlitFormat, LinkPreset
from linksim.network import Coding, Transfer
from linksim.network.messages import Task


def link(flit_ps=100, flight_ns=1.0, buffer=1000, payload=8, energy=None):
    """A link whose flits of *payload* + 2 bytes take *flit_ps*; *buffer* flits of credits."""
    return LinkPreset(
        name="test",
        description="test",
        lanes=16,
        rate_gtps=(payload + 2) * 8 * 1000 / flit_ps / 16,
        flit=FlitFormat(name="test", nbytes=payload + 2, payload_nbytes=payload),
        latency_ns=flight_ns,
        credits=buffer,
        energy_pj_per_bit=energy,
    )


def engine(encode=8, decode=8, latencies=(0, 0), statistics=None, replicas=1):
    """Stages of *encode* and *decode* bytes per cycle of 100 ps."""
    stages = [
        Stage(latency_cycles=latency, bytes_per_cycle=rate, clock_hz=10**10)
        for rate, latency in zip((encode, decode), latencies, strict=True)
    ]
    return EngineRecord(
        name="test",
        description="test",
        codecs=(),
        encoder=stages[0],
        decoder=stages[1],
        statistics=statistics,
        replicas=replicas,
    )


def statistics(rate=8, build=10):
    return Statistics(count_bytes_per_cycle=rate, build_cycles=build)


def coding(raw, wire, with_engine=None):
    return Coding(np.array(raw, np.int64), np.array(wire, np.int64), with_engine)


def transfer(name, message, after=(), source="a", destination="b"):
    return Transfer(name, source, destination, message, tuple(after))


def check_shares(result, preset):
    """What holds for every transfer of every run."""
    assert result.delivered_ps - result.ready_ps == (
        result.queueing_ps + result.encode_ps + result.wire_ps + result.decode_ps
    )
    assert min(result.queueing_ps, result.encode_ps, result.wire_ps, result.decode_ps) >= 0
    assert result.flits == preset.flits(result.encoded_nbytes)
    if result.flits:
        flight = result.flits * preset.flit_ps + preset.flight_ps
        assert result.wire_ps == flight + result.credit_stall_ps
        assert result.arrived_ps == result.last_flit_sent_ps + preset.flight_ps


def link_oracle(tasks: list[Task], preset):
    """When messages over one link, all ready at 0, are delivered: by recurrence over flits.

    Flit g starts at the latest of: the wire is free, its last byte is encoded, and all but
    credits - 1 of the flits before it have left the buffer a flight ago. It leaves the buffer when
    it has arrived and the decoder gathers a segment that needs it.
    """
    delivered, left_ps = {}, []
    wire_free = counter_free = gathering_since = 0
    encoders = decoders = None
    for task in tasks:
        sizes = task.coding
        record = sizes.engine
        raw, ends = sizes.raw_nbytes.tolist(), np.cumsum(sizes.wire_nbytes).tolist()
        flits = preset.flits(ends[-1])
        if not flits:
            delivered[task.id] = 0
            continue
        out = [0] * len(raw)
        if record is not None:
            encoders = encoders or [0] * record.replicas
            decoders = decoders or [0] * record.replicas
            counted = 0
            if record.statistics is not None:
                counter_free += record.statistics_ps(sum(raw))
                counted = counter_free
            for i, nbytes in enumerate(raw):
                core = encoders.index(min(encoders))
                encoders[core] = max(counted, encoders[core]) + record.encoder.occupancy_ps(nbytes)
                out[i] = max(out[max(i - 1, 0)], encoders[core] + record.encoder.latency_ps)
        segment, done = 0, 0
        for flit in range(flits):
            last_byte = min((flit + 1) * preset.flit.payload_nbytes, ends[-1])
            bytes_ps = next(t for t, end in zip(out, ends, strict=True) if end >= last_byte)
            credit_ps = 0
            if len(left_ps) >= preset.credits:
                credit_ps = sorted(left_ps)[len(left_ps) - preset.credits] + preset.flight_ps
            wire_free = max(wire_free, bytes_ps, credit_ps) + preset.flit_ps
            arrived = wire_free + preset.flight_ps
            if record is None:
                left_ps.append(arrived)
                done = arrived
                continue
            gathering_since = max(gathering_since, arrived)
            left_ps.append(gathering_since)
            while segment < len(ends) and preset.flits(ends[segment]) <= flit + 1:
                core = decoders.index(min(decoders))
                gathering_since = max(gathering_since, decoders[core])
                decoders[core] = gathering_since + record.decoder.occupancy_ps(raw[segment])
                done = max(done, decoders[core] + record.decoder.latency_ps)
                segment += 1
        delivered[task.id] = done
    return delivered
