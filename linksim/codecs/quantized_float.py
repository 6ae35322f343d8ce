"""A group quantizer of any group size, defined on float32: symmetric or not, four scale formats.

It is there to compare with, and apart from the quantizer of `linksim.codecs.quantize`, which is
defined on integers and shared with hardware. Messages are those of `linksim.codecs.block_formats`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.block_formats import BlockCodec, Blocks, Bytes, Floats
from linksim.errors import LinksimError
from linksim.tensors.dtypes import number_format

SCALES = ("fp16", "bf16", "e8m0", "log8")
SCALE_NBYTES = {"fp16": 2, "bf16": 2, "e8m0": 1, "log8": 1}
LOG_STEPS = 4
"""log8: steps of a scale per power of two."""
LOG_ONE = 192
"""log8: the code of scale 1; 0 is 2**-48, 254 is 2**15.5."""
CODE_NAN = 255
E8M0_ONE = 127


class FloatQuantize(BlockCodec):
    """Codes of 2 to 8 bits with a scale, and maybe a minimum, per group; bf16 in and out, lossy.

    *group* is 1 to 65535. All arithmetic is float32, with one rounding per operation.

    - *symmetric*: scale = largest magnitude / (2**(bits - 1) - 1), codes round(x / scale), both
      signs, no zero. Otherwise scale = (maximum - minimum) / (2**bits - 1) and codes
      round((x - minimum) / scale), with the minimum beside the scale: in fp16 where the scale is in
      fp16, else in bf16.
    - *scale*: fp16 and bf16 round to nearest; `e8m0` (powers of two) and `log8` (powers of the
      fourth root of two) round up, so that no value lies beyond the last code. What a format cannot
      hold becomes its least or its largest scale.

    Codes are rounded to nearest, ties to even, and clamped.
    """

    codec_id = "float-quantize"

    def __init__(
        self,
        dtype: str = "bf16",
        bits: int = 4,
        group: int = 128,
        symmetric: bool = False,
        scale: str = "bf16",
    ):
        if not 2 <= bits <= 8:
            raise LinksimError(f"codec {self.codec_id}: bits is {bits}: expected 2 to 8")
        if scale not in SCALES:
            raise LinksimError(
                f"codec {self.codec_id}: scale is {scale!r}: expected {', '.join(SCALES)}"
            )
        form = bits - 2 | symmetric << 3 | SCALES.index(scale) << 4
        side_nbytes = SCALE_NBYTES[scale] + (0 if symmetric else 2)
        super().__init__(dtype, group, bits, side_nbytes, form)
        self.bits, self.group, self.symmetric, self.scale = bits, group, symmetric, scale

    def get_config(self) -> dict[str, Any]:
        """The configuration."""
        return {
            **super().get_config(),
            "bits": self.bits,
            "group": self.group,
            "symmetric": self.symmetric,
            "scale": self.scale,
        }

    @property
    def _top(self) -> int:
        """The largest code."""
        return (1 << (self.bits - 1)) - 1 if self.symmetric else (1 << self.bits) - 1

    def _code(self, blocks: Floats, finite: NDArray[np.bool_]) -> Blocks:
        if self.symmetric:
            origins = np.zeros(len(blocks), np.float32)
            reach = np.abs(blocks).max(axis=1, initial=0)
            minima = np.empty((len(blocks), 0), np.uint8)
        else:
            kept = self._kept_minimum(blocks.min(axis=1))
            origins = kept.astype(np.float32)
            # The minimum that is kept may have been rounded up; no distance is negative.
            reach = (blocks.max(axis=1) - origins).clip(0, np.finfo(np.float32).max)
            minima = kept.view(np.uint8).reshape(-1, 2)
        patterns, scales = self._rounded_scales((reach / np.float32(self._top)).astype(np.float32))
        patterns[~finite] = self._nan_pattern
        codes = np.rint((blocks - origins[:, None]) / scales[:, None])
        codes = np.clip(codes, -self._top if self.symmetric else 0, self._top)
        codes = np.where(finite[:, None], codes, 0).astype(np.int16) & ((1 << self.bits) - 1)
        return Blocks(b"", np.concatenate([patterns, minima], axis=1), codes.astype(np.uint8))

    def _kept_minimum(self, minima: Floats) -> NDArray[Any]:
        fmt = number_format("fp16" if self.scale == "fp16" else "bf16")
        if self.scale == "fp16":
            minima = np.clip(minima, np.float32(-65504), np.float32(65504))
        return minima.astype(fmt.numpy)

    def _rounded_scales(self, wanted: Floats) -> tuple[Bytes, Floats]:
        """The bytes of scales near *wanted*, and the scales; all are above 0."""
        if self.scale == "fp16":
            held = np.clip(wanted, np.float32(2**-24), np.float32(65504)).astype("<f2")
            return held.view(np.uint8).reshape(-1, 2), held.astype(np.float32)
        if self.scale == "bf16":
            least = np.float32(2**-126)
            narrow = np.maximum(wanted, least).astype(number_format("bf16").numpy)
            return narrow.view(np.uint8).reshape(-1, 2), narrow.astype(np.float32)
        table = _scale_table(self.scale)
        # The first scale of the table that is not below what is wanted.
        places = np.searchsorted(table[:CODE_NAN], wanted).clip(0, CODE_NAN - 1)
        return places.astype(np.uint8)[:, None], table[places]

    @property
    def _nan_pattern(self) -> Bytes:
        """The bytes of the scale that makes a group NaN."""
        if self.scale in ("e8m0", "log8"):
            return np.array([CODE_NAN], np.uint8)
        fmt = number_format(self.scale)
        return np.array([np.nan], np.float32).astype(fmt.numpy).view(np.uint8)

    def _values(self, coded: Blocks) -> Floats:
        width = SCALE_NBYTES[self.scale]
        sides = np.ascontiguousarray(coded.sides[:, :width]).reshape(-1)
        scales = self._read_scales(sides)
        codes = coded.codes.astype(np.int16)
        if self.symmetric:
            codes = (codes ^ (1 << (self.bits - 1))) - (1 << (self.bits - 1))
            if (codes < -self._top).any():
                raise LinksimError(f"a code is below {-self._top}")
            return codes.astype(np.float32) * scales[:, None]
        fmt = number_format("fp16" if self.scale == "fp16" else "bf16")
        minima = np.ascontiguousarray(coded.sides[:, width:]).reshape(-1).view(fmt.numpy)
        origins = minima.astype(np.float32)
        if not np.isfinite(origins).all():
            raise LinksimError("a minimum is NaN or infinite: expected a finite one")
        return codes.astype(np.float32) * scales[:, None] + origins[:, None]

    def _read_scales(self, sides: Bytes) -> Floats:
        if self.scale in ("e8m0", "log8"):
            return _scale_table(self.scale)[sides]
        scales = sides.view(number_format(self.scale).numpy).astype(np.float32)
        if not (np.isnan(scales) | (scales > 0) & np.isfinite(scales)).all():
            raise LinksimError("a scale is not above 0 and finite, or NaN")
        return scales


def _scale_table(scale: str) -> Floats:
    """The scale of every code of 8 bits, float32 [256], rising; the last one is NaN."""
    codes = np.arange(256)
    if scale == "e8m0":
        table = np.ldexp(np.float32(1), codes - E8M0_ONE).astype(np.float32)
    else:
        roots = np.array([2 ** (step / LOG_STEPS) for step in range(LOG_STEPS)], np.float32)
        places = codes - LOG_ONE
        table = np.ldexp(roots[places % LOG_STEPS], places // LOG_STEPS).astype(np.float32)
    table[CODE_NAN] = np.nan
    return table
