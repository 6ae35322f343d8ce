"""Dumps become traces: names, kinds, batches, casts, and one sentence for what cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from safetensors.numpy import load_file, save_file

from linksim.errors import LinksimError
from linksim.traces import Trace
from linksim.traces.importers import import_dumps
from linksim.traces.manifest import Kind
from linksim.traces.sources import kind_of_key
from linksim.traces.verify import verify

KINDS: TypeAdapter[str] = TypeAdapter(Kind)
GEMMA = Path(__file__).resolve().parents[2].parent / "shared" / "gemma"
"""Real Gemma tensors, where they are at hand beside the checkout."""


def imported(files: list[Path], out: Path, **options: Any) -> Trace:
    import_dumps(files, out, **options)
    trace = Trace.open(out)
    verify(trace)
    return trace


def test_every_entry_of_every_file_type_is_imported(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float16).reshape(2, 3)
    metadata = {"source": "a test", "licence": "MIT"}
    save_file({"layer.0/out": values}, tmp_path / "a.safetensors", metadata=metadata)
    np.save(tmp_path / "b.npy", values + 1)
    np.savez(tmp_path / "c.npz", first=values + 2, second=values.T)
    files = [tmp_path / name for name in ("a.safetensors", "b.npy", "c.npz")]
    trace = imported(files, tmp_path / "trace")
    assert list(trace.manifest.tensors) == ["a.layer.0-out", "b.b", "c.first", "c.second"]
    kinds = [record.kind for record in trace.manifest.tensors.values()]
    assert kinds == ["layer_0_out", "b", "first", "second"]
    assert np.array_equal(trace.tensor("c.second"), values.T)
    assert trace.manifest.model.facts["a.safetensors source"] == "a test"
    assert trace.manifest.model.what_it_is == "imported from a.safetensors, b.npy, c.npz"
    events = trace.communications()
    assert [event.after for event in events] == [
        (),
        ("a.layer.0-out.send",),
        ("b.b.send",),
        ("c.first.send",),
    ]
    assert {(event.phase, event.op, event.ranks) for event in events} == {
        ("import", "send", ("source", "destination"))
    }
    assert str(tmp_path) not in (trace.path / "manifest.json").read_text()


def test_tensors_of_one_kind_are_numbered_as_batches(tmp_path: Path) -> None:
    for name in ("one", "two"):
        np.savez(tmp_path / f"{name}.npz", x=np.zeros(4, np.float16), y=np.ones(4, np.float16))
    files = [tmp_path / "one.npz", tmp_path / "two.npz"]
    by_key = imported(files, tmp_path / "by-key").manifest.tensors
    assert [(r.kind, r.batch) for r in by_key.values()] == [("x", 0), ("y", 0), ("x", 1), ("y", 1)]
    one_kind = imported(files, tmp_path / "one-kind", kind="residual").manifest.tensors
    assert [(r.kind, r.batch) for r in one_kind.values()] == [("residual", i) for i in range(4)]


def test_names_stay_unique(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{"x y": np.zeros(1, np.int8), "x-y": np.ones(1, np.int8)})
    trace = imported([tmp_path / "a.npz", tmp_path / "a.npz"], tmp_path / "trace")
    assert list(trace.manifest.tensors) == ["a.x-y", "a.x-y.2", "a.x-y.3", "a.x-y.4"]


@given(st.text(max_size=60))
def test_any_key_gives_a_legal_kind(key: str) -> None:
    KINDS.validate_python(kind_of_key(key))


def test_wide_floats_are_cast_as_asked(tmp_path: Path) -> None:
    values = np.array([[1.0, -2.5, 3.1415926], [1e-3, 0.0, 65504.0]])
    np.savez(tmp_path / "a.npz", wide=values, single=values.astype(np.float32))
    for dtype, numpy_dtype in (("bf16", ml_dtypes.bfloat16), ("e4m3", ml_dtypes.float8_e4m3fn)):
        trace = imported([tmp_path / "a.npz"], tmp_path / dtype, dtype=dtype)
        for name in ("a.wide", "a.single"):
            expected = values.astype(np.float32).astype(numpy_dtype)
            assert trace.tensor(name).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"x": np.zeros(3, np.float32)}, {}, r"a\.npz: tensor 'x' is float32: expected --dtype"),
        ({"x": np.zeros(3)}, {}, r"a\.npz: tensor 'x' is float64: expected --dtype"),
        ({"x": np.zeros(3, np.int32)}, {}, r"a\.npz: tensor 'x': dtype int32 is not supported"),
        ({"x": np.zeros(3, np.int64)}, {"dtype": "bf16"}, r"a\.npz: tensor 'x': a cast from int64"),
        ({"x": np.zeros(3, np.float32)}, {"dtype": "int8"}, r"a\.npz: tensor 'x': a cast from"),
        ({"x": np.zeros(3, np.float32)}, {"dtype": "bf17"}, r"unknown dtype 'bf17'"),
        ({"x": np.zeros(3, np.float16)}, {"kind": "A b"}, r"tensor 'a\.x': kind"),
        ({"x": np.zeros(3, np.float16)}, {"name": "no name"}, r"name 'no name'"),
        ({"x": np.array([{}])}, {}, r"a\.npz: not a whole \.npz file"),
        ({}, {}, r"a\.npz: no tensors"),
    ],
)
def test_what_cannot_be_imported_is_named(
    tmp_path: Path, arrays: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(LinksimError, match=message) as caught:
        import_dumps([tmp_path / "a.npz"], tmp_path / "trace", **options)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_files_that_are_no_dumps_are_named(tmp_path: Path) -> None:
    for name, content in (
        ("text.txt", b"hello"),
        ("a.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{}"),
        ("a.npy", b"\x93NUMPY"),
        ("a.npz", b"PK"),
        ("pickle.npy", b"cos\nsystem\n(S'true'\ntR."),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(LinksimError, match=name):
            import_dumps([tmp_path / name], tmp_path / "trace")
        assert not (tmp_path / "trace").exists()
    with pytest.raises(LinksimError, match=r"absent\.npz: cannot be read"):
        import_dumps([tmp_path / "absent.npz"], tmp_path / "trace")
    with pytest.raises(LinksimError, match="no files to import"):
        import_dumps([], tmp_path / "trace")


@pytest.mark.skipif(not GEMMA.is_dir(), reason="the real Gemma tensors are not beside the checkout")
@pytest.mark.parametrize(
    "name",
    [
        "gemma2-9b-residual-l31",
        "gemma4-31b-residual-l33-l39",
        "gemma4-e2b-it-one-token",
    ],
)
def test_real_gemma_tensors(tmp_path: Path, name: str) -> None:
    file = GEMMA / f"{name}.safetensors"
    trace = imported([file], tmp_path / "trace", dtype="bf16")
    stored = load_file(file)
    assert len(trace.manifest.tensors) == len(stored)
    for (key, values), tensor in zip(
        sorted(stored.items()), sorted(trace.manifest.tensors), strict=True
    ):
        expected = values.astype(np.float32).astype(ml_dtypes.bfloat16)
        assert trace.tensor(tensor).tobytes() == expected.tobytes(), key
    assert {"source", "licence", "model"} <= set(trace.manifest.model.facts)
