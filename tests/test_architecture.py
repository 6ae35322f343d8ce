"""The floors of the house hold: no import runs up, and what must stay out stays out."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "linksim"
MAX_LINES = 450

GROUND = {"errors", "units", "writing", "catalogue"}
BELOW: dict[str, set[str]] = {
    "errors": set(),
    "units": {"errors"},
    "writing": set(),
    "catalogue": {"errors", "units"},
}
"""Which floors each floor may stand on; traces stands beside codecs, on tensors."""
BELOW["tensors"] = {*GROUND}
BELOW["codecs"] = {*BELOW["tensors"], "tensors"}
BELOW["traces"] = {*BELOW["tensors"], "tensors"}
BELOW["engines"] = {*BELOW["codecs"], "codecs"}
BELOW["links"] = {*BELOW["engines"], "engines"}
BELOW["network"] = {*BELOW["links"], "links"}
BELOW["validation"] = {*BELOW["network"], "network"}
BELOW["prefill"] = {*BELOW["network"], "network"}
BELOW["replay"] = {*BELOW["network"], "network", "traces"}
BELOW["reports"] = {*BELOW["replay"], "replay"}
BELOW["studies"] = {*BELOW["reports"], "reports", "prefill", "flash"}
BELOW["benchmarks"] = {*BELOW["studies"], "studies"}
BELOW["flash"] = {*BELOW["network"], "network", "traces"}
BELOW["cli"] = {*BELOW["benchmarks"], "benchmarks", "flash", "validation"}

HEAVY = {"torch", "transformers"}
USERS_OF_HEAVY = {("traces", "capture"), ("flash", "pytorch")}
"""The packages that import them."""


def modules() -> list[Path]:
    found = sorted(PACKAGE.rglob("*.py"))
    assert len(found) > 40
    return found


def dotted(path: Path) -> tuple[str, ...]:
    """`linksim/a/b.py` as ("a", "b"), `linksim/a/__init__.py` as ("a",)."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports(source: str, package: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every import of *source* as a dotted name in parts, imports inside functions too.

    *package* is where relative imports start. `from a import b` counts as a.b, which may be a
    module or a name in one.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = tuple(node.module.split(".")) if node.module else ()
            if node.level:
                base = ("linksim", *package[: len(package) - node.level + 1], *base)
            yield from ((*base, alias.name) for alias in node.names)


def broken(floor: str, source: str, package: tuple[str, ...] = ()) -> list[str]:
    """Imports of *source* that its *floor* may not make."""
    problems = []
    for name in imports(source, package):
        if name[0] == "hw":
            problems.append(".".join(name))
        elif name[0] == "linksim" and name[1:] != ("__version__",):
            target = name[1] if len(name) > 1 else ""
            if target != floor and target not in BELOW.get(floor, set()):
                problems.append(".".join(name))
    return problems


def package_of(path: Path) -> tuple[str, ...]:
    """Package parts that a relative import in *path* starts from."""
    return path.relative_to(PACKAGE).parts[:-1]


def test_every_module_stands_on_a_known_floor() -> None:
    assert {dotted(path)[0] for path in modules() if dotted(path)} <= BELOW.keys()
    root = (PACKAGE / "__init__.py").read_text()
    assert [name for name in imports(root) if name[0] != "__future__"] == []


@pytest.mark.parametrize("path", modules(), ids=lambda path: ".".join(dotted(path)) or "linksim")
def test_no_import_runs_up(path: Path) -> None:
    floor = (*dotted(path), "")[0]
    assert broken(floor, path.read_text(), package_of(path)) == []


@pytest.mark.parametrize(
    ("floor", "source"),
    [
        ("codecs", "from linksim.engines import EngineRecord"),
        ("codecs", "import linksim.traces.store"),
        ("traces", "from linksim.codecs import Raw"),
        ("links", "def f():\n    from linksim.network import simulate"),
        ("network", "from ..replay import run"),
        ("network", "from linksim import replay"),
        ("replay", "from linksim.reports.tables import replay_rows"),
        ("reports", "import linksim.cli"),
        ("tensors", "from linksim.codecs.chunk import HEADER_BITS"),
        ("cli", "from hw.huffman import encoder"),
        ("units", "import linksim"),
    ],
)
def test_an_import_that_runs_up_is_seen(floor: str, source: str) -> None:
    assert broken(floor, source, (floor,)) != []


@pytest.mark.parametrize(
    ("floor", "source"),
    [
        ("codecs", "from . import base\nfrom linksim.tensors import views"),
        ("replay", "from linksim.traces.store import Trace\nfrom linksim import __version__"),
        ("cli", "from linksim.cli.output import console\nimport hwloc"),
    ],
)
def test_an_import_that_runs_down_is_fine(floor: str, source: str) -> None:
    assert broken(floor, source, (floor,)) == []


def test_the_heavy_libraries_are_imported_by_few() -> None:
    importers = {
        dotted(path)[:2]
        for path in modules()
        if HEAVY & {name[0] for name in imports(path.read_text())}
    }
    assert importers == USERS_OF_HEAVY
    # Those in turn are imported only where a command needs them, not when linksim is.
    for path in modules():
        if dotted(path)[:2] in USERS_OF_HEAVY:
            continue
        for node in ast.parse(path.read_text()).body:
            for name in imports(ast.unparse(node)) if not isinstance(node, ast.If) else ():
                at_load = isinstance(node, ast.Import | ast.ImportFrom)
                assert not (at_load and name[1:3] in USERS_OF_HEAVY), path


@pytest.mark.parametrize("path", modules(), ids=lambda path: ".".join(dotted(path)) or "linksim")
def test_no_pickle_is_ever_loaded(path: Path) -> None:
    tree = ast.parse(path.read_text())
    unsafe = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
    assert not unsafe & {name[0] for name in imports(path.read_text())}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        allowed = {word.arg: ast.unparse(word.value) for word in node.keywords}
        assert allowed.get("allow_pickle", "False") == "False"
        called = ast.unparse(node.func)
        if called in ("np.load", "numpy.load"):
            assert allowed.get("allow_pickle") == "False", f"line {node.lineno}"
        if called == "torch.load":
            assert allowed.get("weights_only") == "True", f"line {node.lineno}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: ".".join(dotted(path)) or "linksim")
def test_files_stay_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


def test_the_command_line_loads_no_drawing_library() -> None:
    """Drawing takes a second to load, and most commands never draw."""
    program = "import sys, linksim.cli; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0  # noqa: S603
