"""What quantizing costs on a GPU, until measured records exist: its bytes and a fixed time.

The kernels are taken to be bound by memory. Quantizing reads bf16 and writes records, dequantizing
the other way round; adding reads the records of all addends and keeps the sum in registers.
"""

from __future__ import annotations

from linksim.catalogue import Evidence
from linksim.codecs.quantize import GroupQuantizer
from linksim.engines import EngineRecord
from linksim.engines.engine import Stage
from linksim.prefill.cards import BF16_NBYTES, GpuCard
from linksim.units import PS_PER_US, cycles_ps

CLOCK_HZ = 1_000_000_000
"""Clock that the rates are stated at: a byte per cycle is a GB/s."""


def kernel_record(gpu: GpuCard, quantizer: GroupQuantizer) -> EngineRecord:
    """The engine record of *quantizer*'s kernels on *gpu*, derived from the GPU's card.

    A stage's latency is the fixed time of one kernel.
    """
    coded = quantizer.bits_per_value / 8
    raw_rate = gpu.memory_bytes_per_second * BF16_NBYTES / (BF16_NBYTES + coded)
    stage = Stage(
        latency_cycles=round(gpu.kernel_us * PS_PER_US / cycles_ps(1, CLOCK_HZ)),
        bytes_per_cycle=max(1, round(raw_rate / CLOCK_HZ)),
        clock_hz=CLOCK_HZ,
    )
    value = (
        f"{raw_rate / 1e9:.0f} GB/s of bf16: {BF16_NBYTES} + {coded:g} bytes per value at "
        f"{gpu.memory_share:g} of {gpu.memory_gbytes_per_s:g} GB/s, and {gpu.kernel_us:g} us"
    )
    source = f"published figures of the GPU card {gpu.name}; no kernel was measured"
    return EngineRecord(
        name=f"quantize-{quantizer.bits}-{gpu.name}",
        description="Kernels of the group quantizer, bound by memory. Derived, not measured.",
        codecs=("quantize",),
        encoder=stage,
        decoder=stage,
        evidence=tuple(
            Evidence(field=f"{end}.bytes_per_cycle", value=value, source=source, grade="derived")
            for end in ("encoder", "decoder")
        ),
    )


def quantize_ps(record: EngineRecord, values: int) -> int:
    """Time of quantizing *values* values, without the fixed time of a kernel."""
    return record.encoder.occupancy_ps(values * BF16_NBYTES)


def dequantize_ps(record: EngineRecord, values: int) -> int:
    """Time of dequantizing *values* values, likewise."""
    return record.decoder.occupancy_ps(values * BF16_NBYTES)


def add_ps(record: EngineRecord, quantizer: GroupQuantizer, values: int) -> int:
    """Time of reading *values* addends and adding them: the part of dequantizing that reads."""
    coded = quantizer.bits_per_value / 8
    return record.decoder.occupancy_ps(round(values * BF16_NBYTES * coded / (BF16_NBYTES + coded)))
