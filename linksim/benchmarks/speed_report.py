"""What the speed benchmark found, as JSON, as tables and as a Markdown page."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numba
import numcodecs
import numpy as np

from linksim import __version__
from linksim.benchmarks.codec_speed import (
    STRETCH_TARGETS,
    TARGETS,
    THREADS,
    THREADS_TARGET,
    SpeedResults,
    SpeedRow,
    ThreadsRow,
    WholeRow,
)
from linksim.benchmarks.contenders import Codec, Kernel
from linksim.benchmarks.timing import Timing
from linksim.reports.tables import markdown_table
from linksim.units import format_bytes_binary

Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
"""Title, columns, rows."""

ONE_CORE_SCALING = 1.5
"""Below this two threads share what arithmetic needs, as hyperthreads of one core do."""


def machine_facts(zstd_version: str | None) -> dict[str, str]:
    """The machine and the software that times hold for; *zstd_version* is huff0's."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    own = f"{zstd_version} (huff0)" if zstd_version else f"of numcodecs {numcodecs.__version__}"
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": processor_name(),
        "cores": str(cores),
        "system": f"{platform.system()} {platform.machine()}",
        "linksim": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "zstd": own,
    }


def processor_name() -> str:
    """Model of the processor, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or "not known"


def facts_line(facts: Mapping[str, str]) -> str:
    """*facts* in one line, for below a figure or a table."""
    software = ", ".join(f"{name} {facts[name]}" for name in ("linksim", "python", "numba", "zstd"))
    return f"{facts['processor']}, {facts['cores']} cores; {software}; {facts['date']}"


def document(results: SpeedResults, facts: Mapping[str, str]) -> dict[str, Any]:
    """All that was measured, JSON-able."""
    return {
        "machine": dict(facts),
        "peer": results.peer,
        "targets": [
            {"form": form, "operation": operation, "ratio": ratio}
            for (form, operation), ratio in TARGETS.items()
        ],
        "first_calls_s": round(results.first_calls_s, 4),
        "core_scaling": round(results.core_scaling, 3),
        "rows": [_row_document(row) for row in results.rows],
        "whole_tensors": [_whole_document(row) for row in results.whole],
        "threads": [_threads_document(row) for row in results.threads],
        "reference": [asdict(row) for row in results.reference],
    }


def _row_document(row: SpeedRow) -> dict[str, Any]:
    twelve = row.ratio_12_bits
    return {
        "source": row.source,
        "what_it_is": row.what_it_is,
        "form": row.form,
        "nbytes": row.nbytes,
        "operation": row.operation,
        "ratio_best": round(row.ratio_best, 4),
        "ratio_median": round(row.ratio_median, 4),
        "ratio_12_bits": None if twelve is None else round(twelve, 4),
        "target": row.target,
        "coded_nbytes": dict(row.coded_nbytes),
        "contenders": _rates(row.timings, row.nbytes),
    }


def _whole_document(row: WholeRow) -> dict[str, Any]:
    return {
        "source": row.source,
        "view": row.view,
        "nbytes": row.nbytes,
        "coded_nbytes": row.coded_nbytes,
        **{operation: _rates(timings, row.nbytes) for operation, timings in row.timings.items()},
    }


def _threads_document(row: ThreadsRow) -> dict[str, Any]:
    scaling = {name: round(value, 3) for name, value in row.scaling.items()}
    rates = _rates(row.timings, row.nbytes)
    return {**asdict(row), "timings": rates, "scaling": scaling, "target": THREADS_TARGET}


def _rates(timings: Mapping[str, Timing], nbytes: int) -> dict[str, dict[str, float]]:
    return {
        name: {
            "best_s": timing.best_s,
            "median_s": timing.median_s,
            "best_gbytes_per_s": round(nbytes / timing.best_s / 1e9, 4),
            "median_gbytes_per_s": round(nbytes / timing.median_s / 1e9, 4),
        }
        for name, timing in timings.items()
    }


def tables(results: SpeedResults) -> list[Table]:
    """What was measured, table by table."""
    made = [_ratio_table(results, operation) for operation in ("encode", "decode")]
    return [*made, _whole_table(results.whole), _threads_table(results.threads)]


def _ratio_table(results: SpeedResults, operation: str) -> Table:
    peer = "huff0" if results.peer.startswith("huff0") else results.peer
    title = f"{operation.capitalize()}, GB/s of uncompressed bytes, and how many times as fast"
    columns = (
        "values",
        "coded as",
        "size",
        peer,
        "linksim kernel",
        "linksim codec",
        f"x {peer}, best",
        "x, median",
        "target",
        "x 12 bits",
        "coded to",
        f"{peer} to",
    )
    rows: list[tuple[str, ...]] = [
        (
            row.source,
            row.form,
            format_bytes_binary(row.nbytes),
            f"{row.nbytes / min(t.best_s for t in row.peers().values()) / 1e9:.2f}",
            f"{row.gbytes_per_s(Kernel.name):.2f}",
            f"{row.gbytes_per_s(Codec.label(1)):.2f}",
            f"{row.ratio_best:.2f}",
            f"{row.ratio_median:.2f}",
            _target(row),
            "" if row.ratio_12_bits is None else f"{row.ratio_12_bits:.2f}",
            f"{100 * row.coded_nbytes[Kernel.name] / row.nbytes:.1f} %",
            f"{100 * row.coded_nbytes[next(iter(row.peers()))] / row.nbytes:.1f} %",
        )
        for row in results.rows
        if row.operation == operation
    ]
    return title, columns, rows


def _target(row: SpeedRow) -> str:
    if row.target is None:
        return ""
    stretch = STRETCH_TARGETS.get((row.form, row.operation))
    reached = "reached" if row.ratio_best >= row.target else "missed"
    if stretch is not None and row.ratio_best >= stretch:
        return f"{row.target:g} reached, {stretch:g} too"
    return f"{row.target:g} {reached}"


def _whole_table(rows: Iterable[WholeRow]) -> Table:
    one, two = Codec.label(1), Codec.label(THREADS)
    listed: list[tuple[str, ...]] = [
        (
            row.source,
            row.view,
            format_bytes_binary(row.nbytes),
            f"{100 * row.coded_nbytes / row.nbytes:.1f} %",
            *(
                f"{row.nbytes / row.timings[operation][name].best_s / 1e9:.2f}"
                for operation in ("encode", "decode")
                for name in (one, two)
            ),
        )
        for row in rows
    ]
    columns = ("values", "view", "size", "coded to", "encode", "encode, 2 threads", "decode")
    return "Whole bf16 tensors, GB/s", (*columns, "decode, 2 threads"), listed


def _threads_table(rows: Iterable[ThreadsRow]) -> Table:
    listed: list[tuple[str, ...]] = [
        (
            row.form,
            format_bytes_binary(row.nbytes),
            row.operation,
            name,
            f"{row.nbytes / row.timings[name].best_s / 1e9:.2f}",
            f"{row.nbytes / row.timings[f'{name}, {THREADS} threads'].best_s / 1e9:.2f}",
            f"{scaling:.2f}",
            f"{THREADS_TARGET:g}" if name == Codec.label(1) else "",
        )
        for row in rows
        for name, scaling in row.scaling.items()
    ]
    columns = ("coded as", "size", "operation", "coder", "GB/s", "2 threads", "x", "target")
    return "Two threads", columns, listed


def remarks(results: SpeedResults) -> list[str]:
    """What a reader has to know beside the tables, a sentence or two each."""
    cores = f"Arithmetic that fills a core runs {results.core_scaling:.2f} times as fast on two"
    if results.core_scaling < ONE_CORE_SCALING:
        cores += " threads: they share a core, or other work took one."
    else:
        cores += " threads. More than that no coder can gain from the second."
    said = [
        f"The first calls took {results.first_calls_s:.2f} s more than later ones: numba compiles, "
        f"or loads what it compiled before. No other time holds any of that.",
        cores,
        *(
            f"The NumPy reference codes {row.encode_gbytes_per_s * 1e3:.1f} MB/s and decodes "
            f"{row.decode_gbytes_per_s * 1e3:.1f} MB/s of {row.form} bytes."
            for row in results.reference
        ),
    ]
    if not results.peer.startswith("huff0"):
        said.append(
            f"The peer is {results.peer}, since huff0 is not at hand: it makes its codebook from "
            f"each message, and the targets, which are ratios to huff0, do not hold for it."
        )
    return said


def markdown(results: SpeedResults, facts: Mapping[str, str]) -> str:
    """The whole benchmark as a page."""
    origins = dict.fromkeys((row.source, row.what_it_is) for row in results.rows)
    parts = [
        "# Speed of the codec",
        f"Peer: {results.peer}. {facts_line(facts)}.",
        "A ratio is the peer's time over that of linksim's kernel, both from the same process, in "
        "turns: above 1 linksim is faster. huff0 has a codebook of the same histogram, in its "
        "11-bit table, and the better of its two decoders counts; *x 12 bits* is against its "
        "largest table. *Best* compares the best times, *median* the medians. The codec is "
        "`encode` and `decode` as a user calls them.",
        "\n".join(f"- {name}: {what}." for name, what in origins),
        *(
            f"## {title}\n\n{markdown_table(columns, rows)}"
            for title, columns, rows in _full(results)
        ),
        "\n".join(f"- {remark}" for remark in remarks(results)),
    ]
    return "\n\n".join(parts) + "\n"


def _full(results: SpeedResults) -> list[Table]:
    return [table for table in tables(results) if table[2]]
