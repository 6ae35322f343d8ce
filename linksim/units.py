"""Time, size and rate.

Time is an integer number of picoseconds, size an integer number of bytes, GB is 1e9 bytes. A bare
number that is something else carries its unit in its name (`latency_ns`, `rate_gtps`).
"""

from __future__ import annotations

from linksim.errors import LinksimError

PS_PER_NS = 1_000
PS_PER_US = 1_000_000
PS_PER_S = 1_000_000_000_000


def ceil_div(numerator: int, denominator: int) -> int:
    """Integer quotient rounded up; *denominator* must be positive."""
    return -(-numerator // denominator)


def ps_from_ns(nanoseconds: float) -> int:
    """Nearest whole picosecond of a duration given in nanoseconds."""
    return round(nanoseconds * PS_PER_NS)


def serialization_ps(nbytes: int, bits_per_second: int) -> int:
    """Picoseconds that *nbytes* occupy a wire of *bits_per_second*, rounded up."""
    if bits_per_second <= 0:
        raise LinksimError(f"a wire needs a positive rate, not {bits_per_second} bit/s")
    return ceil_div(nbytes * 8 * PS_PER_S, bits_per_second)


def cycles_ps(cycles: int, clock_hz: int) -> int:
    """Picoseconds that *cycles* of a clock of *clock_hz* take, rounded up."""
    if clock_hz <= 0:
        raise LinksimError(f"a clock needs a positive rate, not {clock_hz} Hz")
    return ceil_div(cycles * PS_PER_S, clock_hz)


def gbytes_per_s(nbytes: int, duration_ps: int) -> float:
    """Rate in GB/s (1e9 bytes per second) of *nbytes* moved in *duration_ps*; 0 for no time."""
    return nbytes * 1e3 / duration_ps if duration_ps else 0.0


def format_bytes(nbytes: float) -> str:
    """Human-readable size with decimal prefixes: `12.3 kB`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(nbytes) >= scale:
            return f"{nbytes / scale:.2f} {unit}"
    return f"{nbytes:.0f} B"


def format_ps(duration_ps: float) -> str:
    """Human-readable duration: `1.25 us`, `830 ns`, `12 ps`."""
    for unit, scale in (("s", PS_PER_S), ("ms", 1e9), ("us", PS_PER_US), ("ns", PS_PER_NS)):
        if abs(duration_ps) >= scale:
            return f"{duration_ps / scale:.3g} {unit}"
    return f"{duration_ps:.0f} ps"


def format_bytes_binary(nbytes: int) -> str:
    """Size with binary prefixes: `64 KiB`, `1.5 MiB`."""
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if nbytes >= scale:
            return f"{nbytes / scale:g} {unit}"
    return f"{nbytes} B"
