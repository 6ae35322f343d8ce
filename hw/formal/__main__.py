"""Proves what is known of the cores: `python -m hw.formal`; exit code 1 where a proof fails."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict

from hw.formal.properties import PROPERTIES, named, prove_named
from hw.formal.prove import ToolsMissingError, Verdict, check_tools


def _printed(verdict: Verdict) -> str:
    sentence = named(verdict.name).sentence
    if not verdict.proven:
        return f"FAILED  {verdict.name}: {sentence}\n{verdict.reason}"
    runs = ", ".join(f"{kind} {seconds:.1f}" for kind, seconds in verdict.seconds.items())
    killed = "".join(
        f"\n        mutant refuted: {what} -> {noticed}"
        for what, noticed in verdict.mutants.items()
    )
    return f"proven  {verdict.name}: {sentence}; {verdict.extent} ({runs} s){killed}"


def main(arguments: list[str] | None = None) -> int:
    """Prove what is asked for, one process per property, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m hw.formal", description=__doc__)
    names = [prop.name for prop in PROPERTIES]
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="prove this property, or all whose name begins so (may be repeated)",
    )
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    parser.add_argument("--jobs", type=int, default=2, help="properties at a time (default 2)")
    parser.add_argument("--list", action="store_true", help="print the properties and end")
    options = parser.parse_args(arguments)
    wanted = [name for name in names if not options.only or any(map(name.startswith, options.only))]
    if not wanted:
        parser.error(f"no property begins with {' or '.join(options.only)}")
    if options.list:
        for name in wanted:
            print(f"{name}: {named(name).sentence}; {named(name).extent}")
        return 0
    try:
        check_tools()
    except ToolsMissingError as missing:
        print(missing, file=sys.stderr)
        return 2
    started = time.monotonic()
    verdicts = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=context, max_tasks_per_child=1) as pool:
        for future in as_completed([pool.submit(prove_named, name) for name in wanted]):
            verdicts.append(future.result())
            if not options.json:
                print(_printed(verdicts[-1]), flush=True)
    failed = [verdict.name for verdict in verdicts if not verdict.proven]
    if options.json:
        rows = [
            asdict(verdict) | {"sentence": named(verdict.name).sentence} for verdict in verdicts
        ]
        print(json.dumps(rows, indent=2))
    else:
        killed = sum(len(verdict.mutants) for verdict in verdicts)
        print(
            f"{len(verdicts) - len(failed)} of {len(verdicts)} properties proven, {killed} mutants "
            f"refuted, {time.monotonic() - started:.0f} s"
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
