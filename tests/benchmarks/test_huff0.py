"""huff0 as a peer: what is refused, and that its round trips are checked before it is trusted."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from linksim.benchmarks import huff0
from linksim.benchmarks.huff0 import BLOCK_NBYTES, Huff0Book, Huff0Library, find_archive
from linksim.errors import LinksimError

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None or shutil.which("ar") is None, reason="no C compiler"
)

STAND_IN = """
typedef __SIZE_TYPE__ size;
unsigned ZSTD_versionNumber(void) {{ return {version}; }}
unsigned HUF_isError(size code) {{ return code > (size)-120; }}
size HUF_buildCTable_wksp(void) {{ return {built}; }}
size HUF_writeCTable_wksp(void) {{ return 1; }}
size HUF_readDTableX1_wksp(void) {{ return 1; }}
size HUF_readDTableX2_wksp(void) {{ return 1; }}
size HUF_compress4X_usingCTable(void* out, size room, const void* in, size n) {{ return n / 2; }}
size HUF_decompress4X_usingDTable(char* out, size n) {{ *out = {first}; return n; }}
"""


def stand_in(folder: Path, version: int, first: int = 0, built: str = "11") -> Path:
    """An archive that looks like libzstd.a and whose huff0 gives back wrong bytes."""
    source = STAND_IN.format(version=version, first=first, built=built)
    (folder / "z.c").write_text(source)
    for command in (["cc", "-fPIC", "-c", "z.c", "-o", "z.o"], ["ar", "rc", "libzstd.a", "z.o"]):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)  # noqa: S603
    return folder / "libzstd.a"


@pytest.fixture(scope="module")
def library() -> Huff0Library:
    try:
        return Huff0Library(find_archive())
    except LinksimError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("version", [10408, 10503, 10600, 20000])
@needs_compiler
def test_other_versions_are_refused(tmp_path: Path, version: int) -> None:
    with pytest.raises(LinksimError, match=r"of zstd \d+\.\d+\.\d+: expected 1\.5\.4 or newer"):
        Huff0Library(stand_in(tmp_path, version))


@needs_compiler
def test_wrong_bytes_are_caught_before_anything_is_timed(tmp_path: Path) -> None:
    with pytest.raises(LinksimError, match=r"zstd 1\.5\.4 does not give back what it was given"):
        Huff0Library(stand_in(tmp_path, 10504, first=255))


@needs_compiler
def test_an_error_of_huff0_is_told(tmp_path: Path) -> None:
    with pytest.raises(LinksimError, match="HUF_buildCTable_wksp fails with 44"):
        Huff0Library(stand_in(tmp_path, 10507, built="(size)-44"))


@needs_compiler
def test_what_is_no_libzstd_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LinksimError, match=r"gone\.a: no such file"):
        Huff0Library(tmp_path / "gone.a")
    (tmp_path / "text.a").write_text("no archive")
    with pytest.raises(LinksimError, match=r"text\.a: huff0 cannot be linked"):
        Huff0Library(tmp_path / "text.a")
    (tmp_path / "z.c").write_text("int ZSTD_versionNumber(void) { return 10504; }")
    for command in (["cc", "-fPIC", "-c", "z.c", "-o", "z.o"], ["ar", "rc", "other.a", "z.o"]):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)  # noqa: S603
    with pytest.raises(LinksimError, match=r"other\.a: (holds no function|huff0 cannot be)"):
        Huff0Library(tmp_path / "other.a")


def test_without_a_compiler_or_an_archive_the_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    archive = tmp_path / "libzstd.a"
    archive.touch()
    monkeypatch.setattr(huff0.shutil, "which", lambda name: None)
    with pytest.raises(LinksimError, match="no C compiler"):
        Huff0Library(archive)
    monkeypatch.setattr(huff0, "ARCHIVE_PLACES", (str(tmp_path / "none*" / "libzstd.a"),))
    with pytest.raises(LinksimError, match=r"no libzstd\.a in .*libzstd-dev"):
        find_archive()
    monkeypatch.setattr(huff0, "ARCHIVE_PLACES", (str(tmp_path / "*.a"),))
    assert find_archive() == archive


@pytest.mark.parametrize("bits", [11, 12])
@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("count", [1, 7, 5000, BLOCK_NBYTES, 2 * BLOCK_NBYTES + 5])
def test_real_huff0_round_trips(library: Huff0Library, bits: int, pairs: bool, count: int) -> None:
    generator = np.random.default_rng(count)
    symbols = np.clip(generator.normal(100, 9, count), 0, 255).astype(np.uint8)
    # The last block is noise, which coding cannot make smaller.
    symbols[-5:] = generator.integers(0, 256, min(5, count))
    book = Huff0Book(library, np.bincount(symbols, minlength=256) + 1, bits, pairs)
    coded, decoded = np.zeros(2 * count + 1024, np.uint8), np.zeros_like(symbols)
    sizes = book.sizes_of(count)
    assert book.encode(symbols, coded, sizes) == sizes.sum()
    book.decode(coded, sizes, decoded)
    assert decoded.tobytes() == symbols.tobytes()
