"""Trace folders are written whole or not at all, and `verify` names whatever is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from safetensors.numpy import load_file, save_file

from linksim.errors import LinksimError
from linksim.tensors.dtypes import FORMAT_NAMES, cast, number_format
from linksim.traces import Trace, TraceWriter
from linksim.traces.manifest import CommunicationEvent, Manifest, Name, Shard, legal_name
from linksim.traces.store import MANIFEST_NAME
from linksim.traces.verify import verify

FILE = "tensors/a.safetensors"
NAMES: TypeAdapter[str] = TypeAdapter(Name)


def write(path: Path, **options: Any) -> Trace:
    """A trace of two ranks that exchange one tensor each, twice."""
    with TraceWriter(path, "small", **options) as writer:
        for rank in range(2):
            values = cast(np.arange(12, dtype=np.float32).reshape(3, 4) + rank, "bf16")
            shard = Shard(index=rank, count=2)
            writer.add_tensor(f"t{rank}", values, kind="residual", file=FILE, shard=shard)
        for turn, after in enumerate(((), ("e0",))):
            writer.add_event(
                CommunicationEvent(
                    op="all_reduce",
                    id=f"e{turn}",
                    ranks=("a", "b"),
                    tensors={"a": "t0", "b": "t1"},
                    after=after,
                )
            )
    return Trace.open(path)


def test_what_is_written_is_read_and_whole(tmp_path: Path) -> None:
    trace = write(tmp_path / "trace")
    verify(trace)
    assert trace.tensor("t1").astype(float).tolist()[2] == [9, 10, 11, 12]
    assert [event.id for event in trace.communications()] == ["e0", "e1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["trace"]


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(FORMAT_NAMES),
    shape=st.lists(st.integers(0, 5), max_size=3),
    data=st.data(),
)
def test_every_format_and_shape_survives_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, name: str, shape: list[int], data: st.DataObject
) -> None:
    fmt = number_format(name)
    size = int(np.prod(shape, dtype=int))
    highest = 2**fmt.bits - 1
    patterns = data.draw(st.lists(st.integers(0, highest), min_size=size, max_size=size))
    unsigned = np.uint16 if fmt.bits == 16 else np.uint8
    values = np.array(patterns, unsigned).view(fmt.numpy).reshape(shape)
    path = tmp_path_factory.mktemp("any") / "trace"
    with TraceWriter(path, "any") as writer:
        writer.add_tensor("values", values, kind="any")
    trace = Trace.open(path)
    verify(trace)
    assert trace.tensor("values").dtype == fmt.numpy
    assert trace.tensor("values").tobytes() == values.tobytes()


@given(st.text(max_size=300))
def test_any_text_becomes_a_legal_name(text: str) -> None:
    NAMES.validate_python(legal_name(text))


def test_the_documented_example_is_a_manifest() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "reference" / "trace-format.md"
    example = page.read_text().split("```json\n")[1].split("```")[0]
    assert Manifest.model_validate_json(example).events[1].op == "all_reduce"


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with TraceWriter(tmp_path / "trace", "small") as writer:
            writer.add_tensor("t", cast(np.zeros(4, np.float32), "bf16"), kind="residual")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_failure_keeps_the_trace_that_was_to_be_replaced(tmp_path: Path) -> None:
    write(tmp_path / "trace")

    def fail() -> None:
        with TraceWriter(tmp_path / "trace", "small", overwrite=True):
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        fail()
    verify(Trace.open(tmp_path / "trace"))
    assert [path.name for path in tmp_path.iterdir()] == ["trace"]


def test_existing_paths_are_replaced_only_if_asked_and_a_trace(tmp_path: Path) -> None:
    write(tmp_path / "trace")
    with pytest.raises(LinksimError, match="exists already"):
        write(tmp_path / "trace")
    verify(write(tmp_path / "trace", overwrite=True))

    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    for name in ("folder", "file"):
        with pytest.raises(LinksimError, match=f"{name}: not a trace folder"):
            write(tmp_path / name, overwrite=True)
    assert (tmp_path / "folder" / "thesis.txt").exists()


def test_leftovers_of_a_killed_writer_are_cleared(tmp_path: Path) -> None:
    (tmp_path / "trace.part").mkdir()
    (tmp_path / "trace.part" / "stale").write_text("stale")
    trace = write(tmp_path / "trace")
    assert not (trace.path / "stale").exists()


def test_bad_arguments_are_named(tmp_path: Path) -> None:
    values = cast(np.zeros(4, np.float32), "bf16")
    with pytest.raises(LinksimError, match="name 'not a name'"):
        TraceWriter(tmp_path / "trace", "not a name")
    (tmp_path / "file").write_text("a file")
    with (
        pytest.raises(LinksimError, match="cannot be written"),
        TraceWriter(tmp_path / "file" / "x", "n"),
    ):
        pass
    cases: list[tuple[str, Any, dict[str, Any], str]] = [
        ("t", values, {"kind": "Upper Case"}, "tensor 't': kind"),
        ("t", values, {"kind": "k", "file": "../out.safetensors"}, "tensor 't': file"),
        ("t", values, {"kind": "k", "file": "a/../../out.safetensors"}, "tensor 't': file"),
        ("t", np.zeros(4), {"kind": "k"}, "dtype float64 is not supported"),
        ("bad name", values, {"kind": "k"}, "tensors"),
    ]
    for name, array, options, message in cases:
        with (
            pytest.raises(LinksimError, match=message),
            TraceWriter(tmp_path / "trace", "n") as writer,
        ):
            writer.add_tensor(name, array, **options)
        assert not (tmp_path / "trace").exists()
    with TraceWriter(tmp_path / "twice", "n") as writer:
        writer.add_tensor("t", values, kind="k")
        with pytest.raises(LinksimError, match="two tensors are called 't'"):
            writer.add_tensor("t", values, kind="k")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "twice"]


Change = Callable[[dict[str, Any]], None]


def changed(tmp_path: Path, change: Change) -> Path:
    path = write(tmp_path / "trace").path
    manifest = json.loads((path / MANIFEST_NAME).read_text())
    change(manifest)
    (path / MANIFEST_NAME).write_text(json.dumps(manifest))
    return path


def set_at(*where: Any) -> Change:
    """A change that sets the field at where[:-1] to where[-1]."""

    def change(manifest: Any) -> None:
        for part in where[:-2]:
            manifest = manifest[part]
        manifest[where[-2]] = where[-1]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_at("version", 2), r"manifest\.json: version"),
        (set_at("format", "other"), r"manifest\.json: format"),
        (set_at("surprise", 1), r"manifest\.json: surprise"),
        (set_at("tensors", "t0", "sha256", "00"), r"manifest\.json: tensors\.t0\.sha256"),
        (set_at("tensors", "t0", "file", "a/../b.safetensors"), r"tensors\.t0\.file"),
        (set_at("tensors", "t0", "file", "b.safetensors"), r"b\.safetensors: cannot be read"),
        (set_at("tensors", "t0", "key", "other"), r"a\.safetensors: tensor 'other' is missing"),
        (set_at("tensors", "t0", "dtype", "fp16"), r"event 'e0': tensors: dtypes fp16 and bf16"),
        (set_at("tensors", "t0", "dtype", "fp17"), r"manifest\.json: tensors\.t0\.dtype: .*fp17"),
        (set_at("tensors", "t0", "shape", [4, 3]), r"shapes \(4, 3\) and \(3, 4\) differ"),
        (set_at("tensors", "t0", "shard", "index", 2), r"tensors\.t0\.shard\.index: 2 is not"),
        (set_at("tensors", "t0", "sha256", "0" * 64), r"a\.safetensors: tensor 't0': .* sha256"),
        (set_at("events", 0, "after", ["e1"]), r"manifest\.json: events: after: .*cycle: .*e0"),
        (set_at("events", 0, "after", ["e0"]), r"manifest\.json: events: after: .*cycle"),
        (set_at("events", 1, "after", ["e7"]), r"manifest\.json: event 'e1': after: .*'e7'"),
        (set_at("events", 1, "id", "e0"), r"manifest\.json: event 'e0': two events"),
        (set_at("events", 0, "tensors", "a", "t7"), r"event 'e0': tensors\.a: .*'t7'"),
        (set_at("events", 0, "ranks", ["a", "c"]), r"manifest\.json: events\.0.*ranks"),
        (set_at("events", 0, "ranks", ["a", "a"]), r"manifest\.json: events\.0.*named twice"),
        (set_at("events", 0, "op", "shout"), r"manifest\.json: events\.0"),
        (set_at("events", 0, "op", "all_to_all"), r"event 'e0': tensors: axis 0"),
        (set_at("events", 0, "op", "send"), r"manifest\.json: events\.0"),
    ],
)
def test_a_wrong_manifest_is_named(tmp_path: Path, change: Change, message: str) -> None:
    path = changed(tmp_path, change)
    with pytest.raises(LinksimError, match=message) as caught:
        verify(Trace.open(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("replace", "message"),
    [
        (lambda t: t.reshape(4, 3), r"'t0' has shape \(4, 3\): expected \(3, 4\)"),
        (lambda t: t.view(np.float16), r"'t0' is float16: expected bf16"),
    ],
)
def test_a_wrong_shape_or_dtype_in_the_file_is_named(
    tmp_path: Path, replace: Callable[[Any], Any], message: str
) -> None:
    path = write(tmp_path / "trace").path
    stored = load_file(path / FILE)
    save_file(stored | {"t0": replace(stored["t0"])}, path / FILE)
    with pytest.raises(LinksimError, match=r"a\.safetensors: tensor " + message):
        verify(Trace.open(path))


@settings(max_examples=30, deadline=None)
@given(bit=st.integers(0, 8 * 48 - 1))
def test_every_flipped_bit_of_the_values_is_found(
    tmp_path_factory: pytest.TempPathFactory, bit: int
) -> None:
    path = write(tmp_path_factory.mktemp("flip") / "trace").path
    content = bytearray((path / FILE).read_bytes())
    # The values are the last 2 x 24 bytes of the file.
    content[len(content) - 48 + bit // 8] ^= 1 << bit % 8
    (path / FILE).write_bytes(content)
    with pytest.raises(LinksimError, match=r"a\.safetensors: tensor 't[01]': .* sha256"):
        verify(Trace.open(path))


def test_truncated_and_absent_files_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "trace").path
    whole = (path / FILE).read_bytes()
    for length in (0, 4, 8, 40, len(whole) - 1):
        (path / FILE).write_bytes(whole[:length])
        with pytest.raises(LinksimError, match=r"a\.safetensors: not a whole safetensors file"):
            verify(Trace.open(path))
    (path / FILE).unlink()
    with pytest.raises(LinksimError, match=r"a\.safetensors: cannot be read"):
        verify(Trace.open(path))
    (path / MANIFEST_NAME).write_text("{")
    with pytest.raises(LinksimError, match=r"manifest\.json"):
        Trace.open(path)
    (path / MANIFEST_NAME).write_bytes(b"\xff\xfe")
    with pytest.raises(LinksimError, match=r"manifest\.json: cannot be read"):
        Trace.open(path)
    (path / MANIFEST_NAME).unlink()
    with pytest.raises(LinksimError, match=r"manifest\.json: cannot be read"):
        Trace.open(path)


def test_an_unknown_tensor_is_named(tmp_path: Path) -> None:
    with pytest.raises(LinksimError, match=r"manifest\.json: no tensor is called 't9'"):
        write(tmp_path / "trace").tensor("t9")
