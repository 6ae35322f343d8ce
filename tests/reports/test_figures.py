"""Figures: whole PNG files of the size asked for, the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.image as mpl_image
import matplotlib.pyplot as plt
import pytest

from linksim.replay.run import ScenarioResult
from linksim.reports import figures
from linksim.reports.figures import bytes_figure, latency_figure, save_figure, sweep_figure
from tests.replay.handmade import run_result, scenario_result, swept, transfer

Draw = Callable[[list[ScenarioResult], Path], None]


def replayed(coded_ps: int = 70_000, title: str = "Test", run: str = "fixed") -> ScenarioResult:
    plain = [transfer(shares=(5_000, 0, 100_000, 0))]
    coded = [transfer(shares=(5_000, 17_000, coded_ps, 16_000), encoded=coded_ps // 100)]
    runs = {"off": run_result(plain), run: run_result(coded)}
    return scenario_result(runs, title=title)


def sized(factor: int = 1) -> ScenarioResult:
    sizes = [1 << n for n in range(6, 12)]
    return swept(
        {"off": {n: 10 * n for n in sizes}, "fixed": {n: (7 * n + 2000) * factor for n in sizes}}
    )


DRAWN: list[tuple[Draw, Callable[..., ScenarioResult], Any]] = [
    (latency_figure, replayed, 40_000),
    (bytes_figure, replayed, 40_000),
    (sweep_figure, sized, 3),
]
EVERY_FIGURE = pytest.mark.parametrize(
    ("draw", "make", "other"), DRAWN, ids=lambda value: getattr(value, "__name__", "")
)


@EVERY_FIGURE
def test_figures_are_whole_and_the_same_every_time(
    draw: Draw, make: Callable[..., ScenarioResult], other: object, tmp_path: Path
) -> None:
    for name in ("first.png", "second.png"):
        draw([make(), make()], tmp_path / name)
    draw([make(other), make()], tmp_path / "other.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "first.png",
        "other.png",
        "second.png",
    ]
    first, second, different = (
        (tmp_path / name).read_bytes() for name in ("first.png", "second.png", "other.png")
    )
    assert first.startswith(b"\x89PNG\r\n\x1a\n")
    assert first == second
    assert first != different
    assert 5_000 < len(first) < 200_000
    height, width, _ = mpl_image.imread(tmp_path / "first.png").shape
    assert 600 < width < 1600
    assert 150 < height < 900


def test_an_existing_figure_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "bytes.png"
    path.write_bytes(b"old")
    bytes_figure([replayed()], path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_figure_that_cannot_be_drawn_leaves_the_old_one(tmp_path: Path) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("cannot be drawn")

    figure = plt.figure()
    figure.savefig = broken  # type: ignore[method-assign]
    (tmp_path / "a.png").write_bytes(b"old")
    with pytest.raises(ValueError, match="cannot be drawn"):
        save_figure(figure, tmp_path / "a.png", [replayed()])
    assert (tmp_path / "a.png").read_bytes() == b"old"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Figures that were to be saved, instead of files."""
    kept: list[Any] = []
    monkeypatch.setattr(figures, "save_figure", lambda figure, *_, **__: kept.append(figure))
    return kept


def test_latency_bars_are_the_mean_shares(drawn: list[Any]) -> None:
    latency_figure([replayed(title="One [a] hop")], Path("unused.png"))
    (axis,) = drawn[0].axes
    assert axis.get_title(loc="left") == "One [a] hop"
    lengths = [[bar.get_width() for bar in stage] for stage in axis.containers]
    assert lengths == [[5, 5], [0, 17], [100, 70], [0, 16]]
    assert axis.get_xlabel().endswith(", ns")
    assert [text.get_text() for text in axis.texts] == ["", " +3 %"]


def test_byte_bars_name_every_run_once(drawn: list[Any]) -> None:
    bytes_figure([replayed(), replayed(run="other"), replayed()], Path("unused.png"))
    (axis,) = drawn[0].axes
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["off", "fixed", "other"]
    assert [text.get_text() for text in axis.texts] == ["1.000"] * 3 + ["0.700"] * 3


def test_sweep_lines_are_relative_to_the_first_run(drawn: list[Any]) -> None:
    sweep_figure([sized()], Path("unused.png"))
    off, fixed = drawn[0].axes[0].lines
    assert off.get_ydata().tolist() == [1.0] * 6
    assert fixed.get_xdata().tolist() == [1 << n for n in range(6, 12)]
    assert fixed.get_ydata()[0] == pytest.approx((7 * 64 + 2000) / 640)
    assert fixed.get_ydata()[-1] < 1


def test_a_dollar_in_a_title_is_a_dollar(tmp_path: Path) -> None:
    result = replayed(title=r"Costs $\no such thing$")
    latency_figure([result], tmp_path / "latency.png")
    bytes_figure([result], tmp_path / "bytes.png")
    assert len(list(tmp_path.iterdir())) == 2
