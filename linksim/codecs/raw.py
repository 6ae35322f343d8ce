"""The codec that does nothing: values tightly packed."""

from __future__ import annotations

from typing import Any

import numpy as np

from linksim.codecs.base import Segments, TensorCodec, finish
from linksim.errors import LinksimError
from linksim.tensors.dtypes import Tensor


class Raw(TensorCodec):
    """Uncompressed values; formats below 8 bits are packed, first value in the lowest bits."""

    codec_id = "raw"

    def __init__(self, dtype: str = "bf16"):
        super().__init__(dtype)

    def encode(self, buf: Any) -> bytes:
        """The values' bytes, little-endian."""
        fmt = self.number_format
        patterns = fmt.patterns(self.values(buf))
        if fmt.bits >= 8:
            return patterns.tobytes()
        bits = np.unpackbits(patterns[:, None], axis=1, bitorder="little")[:, : fmt.bits]
        return np.packbits(bits, bitorder="little").tobytes()

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The values; a trailing partial value of a format below 8 bits is padding."""
        fmt, data = self.number_format, np.frombuffer(bytes(buf), np.uint8)
        if fmt.bits >= 8:
            if len(data) * 8 % fmt.bits:
                raise LinksimError(f"codec raw: {len(data)} bytes are no whole {fmt.name} values")
            return finish(data.view(fmt.numpy), out)
        bits = np.unpackbits(data, bitorder="little")
        rows = bits[: len(bits) // fmt.bits * fmt.bits].reshape(-1, fmt.bits)
        patterns = np.packbits(rows, axis=1, bitorder="little").reshape(-1)
        return finish(patterns.view(fmt.numpy), out)

    def segments(self, values: Tensor) -> Segments:
        """One part, as long as the values."""
        size = np.array([self.number_format.nbytes(np.asarray(values).size)], np.int64)
        return Segments(size, size)
