"""Held-out bits per byte of a tensor-parallel model whose all-reduces are quantized."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from linksim.codecs.quantize import GroupQuantizer
from linksim.errors import LinksimError
from linksim.flash.collectives import all_reduce
from linksim.flash.quantizers import (
    OWN_SCALE,
    SCALE_FORMATS,
    AnyQuantizer,
    FloatGroups,
    message_quantizer,
)
from linksim.network.collectives.expansion import Values
from linksim.traces.store import write_json

ALGORITHMS = ("two-step", "ring")


class ScoredModel(Protocol):
    """What `linksim.flash.pytorch.model.TensorParallelModel` offers."""

    def code_lengths(
        self, windows: NDArray[np.uint8], all_reduce: Callable[[dict[str, Values]], Values]
    ) -> NDArray[np.float64]:
        """Bits that the model spends on the second half of every window."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is scored, and under which quantizers; LinksimError names the option that is wrong."""

    model: Path
    text: Path
    ranks: tuple[int, ...] = (4,)
    bits: tuple[int, ...] = (2, 3, 4, 5, 8)
    groups: tuple[int, ...] = (32,)
    zeros: tuple[str, ...] = ("point",)
    spikes: tuple[bool, ...] = (False, True)
    scales: tuple[str, ...] = (OWN_SCALE,)
    """Of `SCALE_FORMATS`; `zeros` and `spikes` are those of `own` alone."""
    symmetric: bool = False
    """Whether the other scales go without a minimum."""
    algorithms: tuple[str, ...] = ALGORITHMS
    scored_bytes: int = 8192
    """Bytes whose bits are counted: the second halves of the windows."""
    context: int = 512
    """Bytes of a window."""
    seed: int = 0

    def __post_init__(self) -> None:
        for algorithm in self.algorithms:
            if algorithm not in ALGORITHMS:
                raise LinksimError(f"algorithm {algorithm!r}: expected {' or '.join(ALGORITHMS)}")
        self._check_scales()
        if self.context < 4 or self.context % 2:
            raise LinksimError(f"--context {self.context}: expected an even number from 4 on")
        if self.scored_bytes < self.context:
            raise LinksimError(
                f"--bytes {self.scored_bytes}: expected {self.context} or more, two windows"
            )
        self.quantizers()

    @property
    def windows(self) -> int:
        """How many windows are scored."""
        return self.scored_bytes // (self.context // 2)

    def quantizers(self) -> list[AnyQuantizer]:
        """Every quantizer; LinksimError for parameters that make none."""
        found: list[AnyQuantizer] = []
        for scale in self.scales:
            if scale == OWN_SCALE:
                chosen = product(self.groups, self.zeros, self.spikes, self.bits)
                found += [
                    GroupQuantizer(bits=bits, group=group, zero=zero, spikes=spikes)
                    for group, zero, spikes, bits in chosen
                ]
            else:
                found += [
                    FloatGroups(bits=bits, group=group, scale=scale, symmetric=self.symmetric)
                    for group, bits in product(self.groups, self.bits)
                ]
        return found

    def _check_scales(self) -> None:
        for scale in self.scales:
            if scale not in SCALE_FORMATS:
                expected = ", ".join(SCALE_FORMATS)
                raise LinksimError(f"scale {scale!r}: expected one of {expected}")
        if self.symmetric and OWN_SCALE in self.scales:
            raise LinksimError(f"symmetric: expected a scale other than {OWN_SCALE}")
        if self.spikes == (True,) and set(self.scales) != {OWN_SCALE}:
            raise LinksimError(f"spikes: expected no scale but {OWN_SCALE}")


@dataclass(frozen=True)
class Case:
    """One way to run the model."""

    ranks: int
    algorithm: str
    quantizer: AnyQuantizer | None
    """None: bf16 as it is."""


@dataclass(frozen=True)
class Score:
    """What a case costs. Losses are against bf16 all-reduces of as many ranks, window by window."""

    ranks: int
    algorithm: str
    bits: int
    """16: bf16 as it is; then `group` is 0, and `zero` and `scale` are empty."""
    group: int
    zero: str
    spikes: bool
    bits_per_value: float
    """Bits on the wire per value sent."""
    bits_per_byte: float
    loss: float
    """Bits per byte more than with bf16 all-reduces."""
    loss_error: float
    """Standard error of `loss`, from the spread of the differences over the windows."""
    scale: str = OWN_SCALE
    """Of `SCALE_FORMATS`. With other scales than `own`, `zero` is empty where it is symmetric."""


def read_windows(options: Options) -> NDArray[np.uint8]:
    """Windows of the text at seeded places, uint8 [windows, context + 1]; they do not overlap.

    LinksimError for a file that cannot be read or is too short.
    """
    try:
        data = np.frombuffer(options.text.read_bytes(), np.uint8)
    except OSError as error:
        raise LinksimError(f"{options.text}: cannot be read: {error.strerror}") from None
    width = options.context + 1
    places = len(data) // width
    if places < options.windows:
        raise LinksimError(
            f"{options.text}: {len(data)} bytes: expected {options.windows * width} or more "
            f"for {options.windows} windows"
        )
    draw = np.random.default_rng(options.seed)
    chosen = np.sort(draw.permutation(places)[: options.windows])
    return np.stack([data[place * width : (place + 1) * width] for place in chosen])


def plain(ranks: int) -> Case:
    """What quantized cases are held against: bf16 messages, sums in float32, two steps."""
    return Case(ranks, "two-step", None)


def cases(options: Options) -> list[Case]:
    """All cases; of every number of ranks, bf16 as it is comes first."""
    return [
        case
        for ranks in options.ranks
        for case in (
            plain(ranks),
            *(
                Case(ranks, algorithm, quantizer)
                for quantizer, algorithm in product(options.quantizers(), options.algorithms)
            ),
        )
    ]


@dataclass(frozen=True, eq=False)
class Run:
    """What the model spent in one case."""

    case: Case
    window_bits: NDArray[np.float64]
    """Bits for the scored bytes of every window."""
    bits_per_value: float
    """Bits on the wire per value sent."""


def run_case(model: ScoredModel, windows: NDArray[np.uint8], case: Case) -> Run:
    """Score *windows* with every all-reduce of *model* as *case* says."""
    nbytes = values = 0

    def reduce(partials: dict[str, Values]) -> Values:
        nonlocal nbytes, values
        made = all_reduce(partials, case.quantizer, algorithm=case.algorithm)
        nbytes += made.nbytes
        values += made.values
        return next(iter(made.result.values()))

    # Rounded as the file keeps them, so that a run is the same before and after.
    window_bits = np.round(model.code_lengths(windows, reduce), 4)
    return Run(case, window_bits, 8 * nbytes / values)


def score(run: Run, baseline: Run, *, window_bytes: int) -> Score:
    """What *run* says beside *baseline*, of *window_bytes* scored bytes a window."""
    case, named = run.case, run.case.quantizer
    quantizer = None if named is None else message_quantizer(named)
    differences = (run.window_bits - baseline.window_bits) / window_bytes
    return Score(
        ranks=case.ranks,
        algorithm=case.algorithm,
        bits=16 if quantizer is None else quantizer.bits,
        group=0 if quantizer is None else quantizer.group,
        zero="" if quantizer is None else quantizer.zero,
        spikes=quantizer is not None and quantizer.spikes,
        bits_per_value=round(run.bits_per_value, 4),
        bits_per_byte=round(float(run.window_bits.mean()) / window_bytes, 5),
        loss=round(float(differences.mean()), 6),
        loss_error=round(float(differences.std(ddof=1)) / math.sqrt(len(differences)), 6),
        scale="" if quantizer is None else quantizer.scale,
    )


class Study:
    """All runs on the same windows of the same model; a file holds them, so that work goes on."""

    def __init__(self, path: Path, options: Options, windows: NDArray[np.uint8]) -> None:
        """Take up the runs in *path*, if it is there and about the same windows and model."""
        self._path = path
        self.windows = windows
        self.window_bytes = options.context // 2
        self.about = {
            "model": options.model.name,
            "model_sha256": _sha256(read_weights(options.model)),
            "text": options.text.name,
            "windows_sha256": _sha256(windows.tobytes()),
            "windows": len(windows),
            "context": options.context,
            "scored_bytes": len(windows) * self.window_bytes,
            "seed": options.seed,
        }
        self._runs = {_key(run.case): run for run in self._stored()}

    def run(self, case: Case, model_of: Callable[[int], ScoredModel]) -> Run:
        """The stored run of *case*, or a new one, stored at once.

        *model_of* gives the model under so many ranks; it is asked only for a new one.
        """
        if _key(case) not in self._runs:
            self._runs[_key(case)] = run_case(model_of(case.ranks), self.windows, case)
            self.write()
        return self._runs[_key(case)]

    def write(self) -> None:
        """Write the file anew."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._path, self.document())

    def scores(self) -> list[Score]:
        """The scores of all runs whose baseline is there too, by rank number."""
        found = []
        for run in sorted(self._runs.values(), key=lambda run: run.case.ranks):
            baseline = self._runs.get(_key(plain(run.case.ranks)))
            if baseline is not None:
                found.append(score(run, baseline, window_bytes=self.window_bytes))
        return found

    def document(self) -> dict[str, Any]:
        """What the file holds and `--json` prints: scores, and all runs window by window."""
        columns = [field.name for field in fields(Score)]
        return {
            **self.about,
            "columns": columns,
            "rows": [[getattr(one, name) for name in columns] for one in self.scores()],
            "runs": [
                {
                    "case": asdict(run.case),
                    "bits_per_value": run.bits_per_value,
                    "window_bits": run.window_bits.tolist(),
                }
                for run in self._runs.values()
            ],
        }

    def _stored(self) -> list[Run]:
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise LinksimError(f"{self._path}: not results to go on from: {error}") from None
        same = ("model_sha256", "windows_sha256", "context")
        if any(document.get(name) != self.about[name] for name in same):
            return []
        return [stored_run(entry) for entry in document["runs"]]


def stored_run(entry: dict[str, Any]) -> Run:
    """A run as the file keeps it."""
    case = entry["case"]
    return Run(
        Case(case["ranks"], case["algorithm"], _stored_quantizer(case["quantizer"])),
        np.array(entry["window_bits"]),
        entry["bits_per_value"],
    )


def _stored_quantizer(parameters: dict[str, Any] | None) -> AnyQuantizer | None:
    if parameters is None:
        return None
    # Parameters without a scale format are those of the quantizer with a scale of its own.
    return FloatGroups(**parameters) if "scale" in parameters else GroupQuantizer(**parameters)


def read_weights(model: Path) -> bytes:
    """The weights file of checkpoint *model*; LinksimError if there is none."""
    path = model / "model.safetensors"
    try:
        return path.read_bytes()
    except OSError as error:
        raise LinksimError(f"{path}: cannot be read: {error.strerror}") from None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _key(case: Case) -> str:
    return json.dumps(asdict(case), sort_keys=True)
