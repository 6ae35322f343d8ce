"""huff0, the Huffman coder inside zstd, as the peer that speed is told in ratios to.

No package offers huff0 with a codebook that is known beforehand; its functions for that are inside
zstd's static library (libzstd.a), where Linux distributions ship one. They are internal to zstd and
change between versions, so only versions whose functions are known are called.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linksim.errors import LinksimError

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]

ARCHIVE_PLACES = ("/usr/lib/*/libzstd.a", "/usr/lib*/libzstd.a", "/usr/local/lib*/libzstd.a")
"""Where distributions and `make install` put it."""
OLDEST_VERSION, NEWER_VERSION = (1, 5, 4), (1, 6, 0)
"""Functions of versions from the first on and before the second are the ones called here."""
BLOCK_NBYTES = 128 << 10
"""Symbols that are coded as one block of four streams, as zstd does."""
DEFAULT_TABLE_BITS, MOST_TABLE_BITS = 11, 12
"""Longest code word that zstd makes, and that huff0 can."""

_LOOPS = f"""
typedef __SIZE_TYPE__ size;
size HUF_compress4X_usingCTable(void*, size, const void*, size, const void*, int);
size HUF_decompress4X_usingDTable(void*, size, const void*, size, const void*, int);
unsigned HUF_isError(size);

size linksim_encode(char* out, size room, const char* symbols, size count, const void* table,
                    int flags, size* sizes) {{
    size at = 0;
    for (size first = 0; first < count; first += {BLOCK_NBYTES}, sizes++) {{
        size n = count - first < {BLOCK_NBYTES} ? count - first : {BLOCK_NBYTES};
        *sizes = HUF_compress4X_usingCTable(out + at, room - at, symbols + first, n, table, flags);
        if (HUF_isError(*sizes)) return *sizes;
        if (*sizes == 0 || *sizes >= n) __builtin_memcpy(out + at, symbols + first, *sizes = n);
        at += *sizes;
    }}
    return at;
}}

size linksim_decode(char* out, size count, const char* data, const void* table, int flags,
                    const size* sizes) {{
    size at = 0;
    for (size first = 0; first < count; first += {BLOCK_NBYTES}, sizes++) {{
        size n = count - first < {BLOCK_NBYTES} ? count - first : {BLOCK_NBYTES};
        if (*sizes == n) __builtin_memcpy(out + first, data + at, n);
        else {{
            size got = HUF_decompress4X_usingDTable(out + first, n, data + at, *sizes, table,
                                                    flags);
            if (HUF_isError(got)) return got;
        }}
        at += *sizes;
    }}
    return at;
}}
"""
"""The loops over blocks, in C as zstd's own are, so that no call from Python is timed per block."""

_LARGEST_SYMBOL = 255
_USE_BMI2 = 1
_WORKSPACE_NBYTES = 1 << 16
_FUNCTIONS = (
    "HUF_buildCTable_wksp",
    "HUF_writeCTable_wksp",
    "HUF_readDTableX1_wksp",
    "HUF_readDTableX2_wksp",
    "linksim_encode",
    "linksim_decode",
)
_SUPPORT = ("HUF_isError", "ZSTD_versionNumber")


def find_archive() -> Path:
    """The first libzstd.a in the usual places; LinksimError says how to get one."""
    for pattern in ARCHIVE_PLACES:
        for path in sorted(Path("/").glob(pattern.lstrip("/"))):
            return path
    raise LinksimError(
        f"no libzstd.a in {', '.join(ARCHIVE_PLACES)}: on Debian, apt install libzstd-dev, or give "
        f"--libzstd PATH"
    )


class Huff0Library:
    """huff0 of the static library *archive*, linked, checked and loaded.

    LinksimError says in one sentence what is in the way.
    """

    def __init__(self, archive: Path):
        if not archive.is_file():
            raise LinksimError(
                f"{archive}: no such file: expected zstd's static library, libzstd.a"
            )
        self.archive = archive
        self._library = _link_and_load(archive)
        version = int(self._function("ZSTD_versionNumber", ctypes.c_uint)())
        numbers = (version // 10_000, version // 100 % 100, version % 100)
        self.version = ".".join(map(str, numbers))
        """zstd's version, such as 1.5.4."""
        if not OLDEST_VERSION <= numbers < NEWER_VERSION:
            oldest, newer = (".".join(map(str, v)) for v in (OLDEST_VERSION, NEWER_VERSION))
            raise LinksimError(
                f"{archive}: of zstd {self.version}: expected {oldest} or newer, but before "
                f"{newer}: huff0's functions differ between versions"
            )
        self._is_error = self._function("HUF_isError", ctypes.c_uint)
        self._functions = {name: self._function(name, ctypes.c_size_t) for name in _FUNCTIONS}
        self.flags = _USE_BMI2 if _has_bmi2() else 0
        self._check_round_trip()

    def _function(self, name: str, result: type[Any]) -> Any:
        try:
            function = getattr(self._library, name)
        except AttributeError:
            raise LinksimError(f"{self.archive}: holds no function {name}") from None
        function.restype = result
        return function

    def call(self, name: str, *arguments: object) -> int:
        """What the function *name* returns; LinksimError where that is an error."""
        result = int(self._functions[name](*arguments))
        if self._is_error(ctypes.c_size_t(result)):
            raise LinksimError(f"{self.archive}: {name} fails with {2**64 - result}")
        return result

    def _check_round_trip(self) -> None:
        draw = np.random.default_rng(0).normal(128, 12, BLOCK_NBYTES + 1000)
        symbols = np.clip(draw, 0, 255).astype(np.uint8)
        counts = np.bincount(symbols, minlength=256) + 1
        for bits in (DEFAULT_TABLE_BITS, MOST_TABLE_BITS):
            for pairs in (False, True):
                book = Huff0Book(self, counts, bits, pairs)
                coded, decoded = np.zeros(2 * symbols.size, np.uint8), np.zeros_like(symbols)
                sizes = book.sizes_of(symbols.size)
                nbytes = book.encode(symbols, coded, sizes)
                book.decode(coded, sizes, decoded)
                if nbytes >= symbols.size or not np.array_equal(decoded, symbols):
                    raise LinksimError(
                        f"{self.archive}: huff0 of zstd {self.version} does not give back what it "
                        f"was given, so it is not compared with"
                    )


class Huff0Book:
    """A code for the histogram *counts* (int [256], all above 0), known to both ends.

    *table_bits* limits its words; *symbol_pairs* chooses the decoder that gives up to two symbols a
    look-up (zstd's X2) over the one that gives one (X1).
    """

    def __init__(
        self,
        library: Huff0Library,
        counts: NDArray[np.int64],
        table_bits: int = DEFAULT_TABLE_BITS,
        symbol_pairs: bool = True,
    ):
        self.library = library
        self._flags = ctypes.c_int(library.flags)
        self._encoding_table = np.zeros(_LARGEST_SYMBOL + 2, np.uint64)
        workspace, header = np.zeros(_WORKSPACE_NBYTES // 8, np.uint64), np.zeros(1024, np.uint8)
        room = (_at(workspace), ctypes.c_size_t(workspace.nbytes))
        frequencies = np.ascontiguousarray(counts, np.uint32)
        largest, size = ctypes.c_uint(_LARGEST_SYMBOL), ctypes.c_size_t(header.nbytes)
        table = _at(self._encoding_table)
        bits = ctypes.c_uint(table_bits)
        made = library.call("HUF_buildCTable_wksp", table, _at(frequencies), largest, bits, *room)
        written = library.call(
            "HUF_writeCTable_wksp", _at(header), size, table, largest, ctypes.c_uint(made), *room
        )
        # The first entry says how large the table may become: in the decoder for single symbols two
        # entries share a word.
        self._decoding_table = np.zeros(1 + (1 << MOST_TABLE_BITS), np.uint32)
        self._decoding_table[0] = (table_bits if symbol_pairs else table_bits - 1) * 0x01000001
        library.call(
            "HUF_readDTableX2_wksp" if symbol_pairs else "HUF_readDTableX1_wksp",
            _at(self._decoding_table),
            _at(header),
            ctypes.c_size_t(written),
            *room,
            self._flags,
        )

    @staticmethod
    def sizes_of(symbol_count: int) -> Integers:
        """Room for the coded size of every block of *symbol_count* symbols."""
        return np.zeros(-(-symbol_count // BLOCK_NBYTES), np.int64)

    def encode(self, symbols: Bytes, out: Bytes, sizes: Integers) -> int:
        """Write coded *symbols* to *out* and every block's size to *sizes*; bytes in all.

        A block that coding does not make smaller is copied. *out* must have room for that.
        """
        return self.library.call(
            "linksim_encode",
            _at(out),
            ctypes.c_size_t(out.size),
            _at(symbols),
            ctypes.c_size_t(symbols.size),
            _at(self._encoding_table),
            self._flags,
            _at(sizes),
        )

    def decode(self, data: Bytes, sizes: Integers, out: Bytes) -> None:
        """Fill *out* with the symbols of the blocks of *sizes* bytes in *data*."""
        self.library.call(
            "linksim_decode",
            _at(out),
            ctypes.c_size_t(out.size),
            _at(data),
            _at(self._decoding_table),
            self._flags,
            _at(sizes),
        )


def _link_and_load(archive: Path) -> ctypes.CDLL:
    compiler = shutil.which("cc")
    if compiler is None:
        raise LinksimError("no C compiler (cc), which links huff0 out of libzstd.a")
    # Naming the functions as wanted makes the linker take what they need out of the archive.
    wanted = [f"-Wl,-u,{name}" for name in (*_FUNCTIONS, *_SUPPORT)]
    with TemporaryDirectory(prefix="linksim-huff0-") as folder:
        library, loops = Path(folder) / "libhuff0.so", Path(folder) / "loops.c"
        loops.write_text(_LOOPS, encoding="utf-8")
        command = [compiler, "-O2", "-fPIC", "-shared", "-Wl,-Bsymbolic", "-o", str(library)]
        command += [str(loops), *wanted, str(archive)]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if finished.returncode:
            lines = finished.stderr.strip().splitlines() or ["no reason given"]
            raise LinksimError(f"{archive}: huff0 cannot be linked out of it: {lines[-1]}")
        try:
            return ctypes.CDLL(str(library))
        except OSError as error:
            raise LinksimError(f"{archive}: huff0 cannot be loaded: {error}") from None


def _has_bmi2() -> bool:
    try:
        return " bmi2 " in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def _at(array: NDArray[Any], offset: int = 0) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data + offset)
