"""What every linksim codec is: a numcodecs codec that knows its exact size without encoding."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numcodecs.abc import Codec
from numpy.typing import NDArray

from linksim.errors import LinksimError
from linksim.tensors.dtypes import NumberFormat, Tensor, coded_format


@dataclass(frozen=True)
class Segments:
    """A coded message as a codec emits it, part by part.

    `raw_nbytes` int64 [k] are the uncompressed bytes that part k stands for (0 for a header or a
    codebook), `wire_nbytes` int64 [k] the bytes it becomes.
    """

    raw_nbytes: NDArray[np.int64]
    wire_nbytes: NDArray[np.int64]


class TensorCodec(Codec):
    """Base of all codecs: tensors of one number format to bytes and back.

    `encode` takes an array of the codec's dtype, any shape; `decode` returns its values flat. For
    every array, `encoded_nbytes(x) == len(encode(x))`.
    """

    codec_id: str
    takes_codebooks: ClassVar[bool] = False
    """Whether it codes with books that both ends hold."""
    bit_exact: ClassVar[bool] = True
    """Whether `encode` must give the same bytes for ever; else it is enough that they decode."""
    lossless: ClassVar[bool] = True
    """Whether `decode` gives back every bit of what `encode` took."""
    registered_as: ClassVar[str | None] = None
    """Its id in a configuration, where that is not `codec_id`, which numcodecs gives another."""

    def __init__(self, dtype: str):
        self.dtype = dtype
        coded_format(dtype)

    @property
    def number_format(self) -> NumberFormat:
        """The number format the codec takes."""
        return coded_format(self.dtype)

    def values(self, buffer: Any) -> Tensor:
        """*buffer* as a flat array of the codec's dtype; LinksimError for another dtype."""
        array = np.asarray(buffer)
        if array.dtype != self.number_format.numpy:
            raise LinksimError(f"codec {self.codec_id}: got {array.dtype}: expected {self.dtype}")
        return np.ascontiguousarray(array).reshape(-1)

    @abstractmethod
    def encode(self, buf: Any) -> bytes:
        """The encoded message of an array of the codec's dtype."""

    @abstractmethod
    def decode(self, buf: Any, out: Any = None) -> Any:
        """The values of an encoded message, flat, or *out* filled with them.

        LinksimError says what is wrong with a message that `encode` cannot have made.
        """

    @abstractmethod
    def segments(self, values: Tensor) -> Segments:
        """Sizes of the message's parts, without encoding it."""

    def encoded_nbytes(self, values: Tensor) -> int:
        """Exact size of `encode(values)` in bytes, without encoding."""
        return int(self.segments(values).wire_nbytes.sum())

    def round_trip(self, values: Tensor) -> Tensor:
        """What arrives of *values* when they are encoded, sent and decoded, in their shape."""
        return values

    def framing_nbytes(self, values: Tensor) -> int:
        """Bytes of `encode(values)` that carry no values: headers, codebooks, indices."""
        return 0

    def get_config(self) -> dict[str, Any]:
        """JSON-able configuration; `numcodecs.get_codec` makes an equal codec of it."""
        return {"id": self.codec_id, "dtype": self.dtype}

    def __repr__(self) -> str:
        parts = (f"{k}={v!r}" for k, v in self.get_config().items() if k != "id")
        return f"{type(self).__name__}({', '.join(parts)})"


def finish(values: Tensor, out: Any) -> Any:
    """*values*, copied into *out* where one is given, as numcodecs asks of `decode`.

    LinksimError where *out* has another size: a message may have been cut between two of its flits.
    """
    if out is None:
        return values
    if np.asarray(out).size != values.size:
        raise LinksimError(
            f"the message holds {values.size} values: expected {np.asarray(out).size}"
        )
    np.copyto(np.asarray(out).reshape(-1), values)
    return out
