"""Scenarios: which events of a trace cross which link, with which codecs and engines."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from linksim.codecs import CODECS
from linksim.codecs.chunked import PROFILES
from linksim.codecs.specification import CodecSpecification
from linksim.engines import EngineRecord, engine_record
from linksim.errors import LinksimError, first_problem
from linksim.links import link_preset, names_a_file
from linksim.network.collectives import ALGORITHMS
from linksim.replay.topologies import NetworkShape, TopologyName, check_shape
from linksim.tensors.views import VIEW_NAMES

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9\-]*$", max_length=60)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Selection(_Strict):
    """Which events are replayed."""

    phase: str
    """Events of this phase; those of other phases are taken as done."""
    from_batch: int = Field(default=0, ge=0)
    """Replay this batch and later ones; codebooks are built on the batches before it."""
    compute: bool = True
    """Replay compute events too; False: ranks compute in no time."""


class Sweep(_Strict):
    """Instead of a trace's own messages: one send of every size, alone on the link."""

    kind: str
    """Values are taken from the trace's tensors of this kind, end to end, from the start again
    where a message is longer than all of them."""
    message_nbytes: tuple[Annotated[int, Field(ge=64, le=1 << 26)], ...] = Field(min_length=2)
    """Uncompressed sizes, rising."""

    @field_validator("message_nbytes")
    @classmethod
    def _rising(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if any(a >= b for a, b in pairwise(sizes)):
            raise ValueError("expected every size once, in rising order")
        return sizes


class Collectives(_Strict):
    """How collectives are done, where not by the default algorithm of each."""

    all_reduce: str | None = None
    all_gather: str | None = None
    reduce_scatter: str | None = None
    broadcast: str | None = None
    chunk_nbytes: int | None = Field(default=None, ge=1)
    """Uncompressed bytes that go at a time from one rank to another; None: all of a step."""
    groups: tuple[tuple[str, ...], ...] | None = None
    """Ranks that belong together, for the algorithm `hierarchical`."""

    @model_validator(mode="after")
    def _known(self) -> Collectives:
        chosen = []
        for op, names in ALGORITHMS.items():
            name = getattr(self, op, None)
            if name is not None and name not in names:
                raise ValueError(
                    f"unknown algorithm {name!r} for {op}: expected one of {', '.join(names)}"
                )
            chosen.append(name)
        if ("hierarchical" in chosen) != (self.groups is not None):
            raise ValueError("groups go with the algorithm 'hierarchical', and it with them")
        return self

    def options(self, op: str) -> dict[str, Any]:
        """Keyword arguments of `linksim.network.expand` for *op*."""
        algorithm = getattr(self, op, None)
        groups = self.groups if algorithm == "hierarchical" else None
        chunk_nbytes = None if op == "send" else self.chunk_nbytes
        return {"algorithm": algorithm, "groups": groups, "chunk_nbytes": chunk_nbytes}


class Run(_Strict):
    """One way to code what crosses the link."""

    name: Name
    codec: str
    """Id of a codec, options behind it: `quantize:bits=4,group=32`."""
    engine: str | None = None
    """Engine record, `NAME*n` for n copies: a shipped one, or a TOML file relative to the scenario.
    Needed by every codec but raw."""
    view: str = "exponent"
    profile: str = "link"

    @model_validator(mode="after")
    def _known(self) -> Run:
        for field, value, known in (
            ("codec", self.codec_id, tuple(CODECS)),
            ("view", self.view, VIEW_NAMES),
            ("profile", self.profile, PROFILES),
        ):
            if value not in known:
                raise ValueError(f"unknown {field} {value!r}: expected one of {', '.join(known)}")
        if (self.engine is None) != (self.codec_id == "raw"):
            raise ValueError(
                f"run {self.name!r}: codec {self.codec!r} needs "
                f"{'no engine' if self.codec_id == 'raw' else 'an engine'}"
            )
        return self

    @property
    def codec_id(self) -> str:
        """The codec without its options; LinksimError where they cannot be read."""
        return CodecSpecification.parse(self.codec).codec_id


class Scenario(_Strict):
    """A replay: events, link, and the runs that are compared with each other."""

    name: Name
    title: str = Field(min_length=1, max_length=100)
    description: str = ""
    link: str
    """Link preset: a shipped one by name, or a TOML file relative to the scenario."""
    topology: TopologyName
    network: NetworkShape = NetworkShape()
    collectives: Collectives = Collectives()
    codebooks: Literal["layer", "kind"] = "layer"
    """One codebook per tensor kind and layer, or one per kind for all layers."""
    select: Selection
    sweep: Sweep | None = None
    """Given, messages of these sizes replace the selected events."""
    run: tuple[Run, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _baseline_first(self) -> Scenario:
        if len({run.name for run in self.run}) != len(self.run):
            raise ValueError("two runs have the same name")
        if self.run[0].codec != "raw":
            raise ValueError("the first run must be codec 'raw': the others are compared with it")
        check_shape(self.topology, self.network)
        return self


def engine_of(run: Run) -> EngineRecord | None:
    """The engine of *run*; LinksimError if there is none of that name or it is not for the run."""
    if run.engine is None:
        return None
    engine = engine_record(run.engine)
    if engine.codecs and run.codec_id not in engine.codecs:
        raise LinksimError(
            f"run {run.name!r}: engine {engine.name!r} runs {', '.join(engine.codecs)}: "
            f"not codec {run.codec_id!r}"
        )
    if engine.views and run.view not in engine.views:
        raise LinksimError(
            f"run {run.name!r}: engine {engine.name!r} is stated for views "
            f"{', '.join(engine.views)}: not {run.view!r}"
        )
    return engine


def load_scenario(path: Path) -> Scenario:
    """Read the scenario file *path*; LinksimError names the file and the field that is wrong.

    Its link and engines are looked up too, so that what is left to go wrong is up to the trace.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LinksimError(f"{path}: cannot be read as a scenario: {reason}") from None
    except tomllib.TOMLDecodeError as error:
        raise LinksimError(f"{path}: not a TOML file: {error}") from None
    try:
        scenario = Scenario.model_validate(_located(document, path.parent))
    except ValidationError as error:
        raise LinksimError(f"{path}: {first_problem(error)}") from None
    field = "link"
    try:
        link_preset(scenario.link)
        if scenario.network.between is not None:
            field = "network.between"
            link_preset(scenario.network.between)
        for index, run in enumerate(scenario.run):
            field = f"run.{index}.engine"
            engine_of(run)
    except LinksimError as error:
        raise LinksimError(f"{path}: {field}: {error}") from None
    return scenario


def _located(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """*document* with the files that it names taken relative to *folder*."""
    located = dict(document)
    if "link" in document:
        located["link"] = _beside(document["link"], folder, names_a_file)
    network = document.get("network")
    if isinstance(network, dict) and "between" in network:
        located["network"] = {
            **network,
            "between": _beside(network["between"], folder, names_a_file),
        }
    runs = document.get("run")
    if isinstance(runs, list):
        located["run"] = [
            {**run, "engine": _beside(run["engine"], folder, _is_path)}
            if isinstance(run, dict) and "engine" in run
            else run
            for run in runs
        ]
    return located


def _beside(reference: Any, folder: Path, is_file: Callable[[str], bool]) -> Any:
    """*reference* to a file as a path from here; names of shipped records stay as they are."""
    moved = isinstance(reference, str) and is_file(reference)
    return str(folder / reference) if moved else reference


def _is_path(reference: str) -> bool:
    return "/" in reference or ".toml" in reference
