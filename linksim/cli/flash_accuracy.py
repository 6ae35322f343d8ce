"""`linksim flash accuracy`: what quantized all-reduces cost a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from linksim.cli.output import check_folder, console, messages, print_json, print_table
from linksim.flash.accuracy import Options, Score, ScoredModel, Study, cases, read_windows
from linksim.flash.quantizers import OWN_SCALE

RESULTS = "flash-accuracy"


def accuracy_command(
    text: Annotated[
        Path, typer.Option(help="Text that the model was not trained on.", show_default=False)
    ],
    model: Annotated[Path, typer.Option(help="Checkpoint that reads bytes.")] = Path(
        "traces/bundled-model"
    ),
    ranks: Annotated[
        list[int] | None, typer.Option(help="Ranks; again for more. Default: 4.")
    ] = None,
    algorithm: Annotated[
        list[str] | None, typer.Option(help="two-step or ring; again for more. Default: both.")
    ] = None,
    bits: Annotated[
        list[int] | None, typer.Option(help="Bits of a code; again for more. Default: 2 to 5, 8.")
    ] = None,
    group: Annotated[
        list[int] | None, typer.Option(help="Values of a group; again for more. Default: 32.")
    ] = None,
    zero: Annotated[
        list[str] | None, typer.Option(help="point or min; again for more. Default: point.")
    ] = None,
    spikes: Annotated[
        bool | None,
        typer.Option("--spikes/--no-spikes", help="Only with or without. Default: both."),
    ] = None,
    scale: Annotated[
        list[str] | None,
        typer.Option(help="own, fp16, bf16, e8m0 or log8; again for more. Default: own."),
    ] = None,
    symmetric: Annotated[
        bool, typer.Option("--symmetric", help="No minimum; for scales other than own.")
    ] = False,
    scored_bytes: Annotated[
        int, typer.Option("--bytes", help="Bytes that are scored.")
    ] = Options.scored_bytes,
    context: Annotated[int, typer.Option(help="Bytes of a window.")] = Options.context,
    seed: Annotated[int, typer.Option(help="Seed of the windows' places.")] = Options.seed,
    out: Annotated[Path, typer.Option(help=f"Folder for {RESULTS}.json and {RESULTS}.png.")] = Path(
        "results/study"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a tensor-parallel model with every all-reduce quantized, beside one with bf16.

    Needs PyTorch. Cases that the results hold already, for the same windows and model, are not run
    again, and are shown too; so a run that was interrupted goes on.
    """
    check_folder(out)
    given = {
        "ranks": tuple(dict.fromkeys(ranks or ())),
        "algorithms": tuple(dict.fromkeys(algorithm or ())),
        "bits": tuple(dict.fromkeys(bits or ())),
        "groups": tuple(dict.fromkeys(group or ())),
        "zeros": tuple(dict.fromkeys(zero or ())),
        "spikes": () if spikes is None else (spikes,),
        "scales": tuple(dict.fromkeys(scale or ())),
    }
    options = Options(
        model=model,
        text=text,
        symmetric=symmetric,
        scored_bytes=scored_bytes,
        context=context,
        seed=seed,
        **{name: value for name, value in given.items() if value},  # type: ignore[arg-type]
    )
    study = Study(out / f"{RESULTS}.json", options, read_windows(options))
    _run(study, options)
    # Imported here: drawing takes a second to load and most commands never draw.
    from linksim.flash.figures import accuracy_figure

    study.write()
    about = study.about
    note = f"{about['model']}, {about['scored_bytes']} bytes of {about['text']}"
    accuracy_figure(study.scores(), out / f"{RESULTS}.png", f"{note}; bars: standard error")
    if as_json:
        print_json(study.document())
        return
    _print(study)
    console.print(f"All runs and the figure are in {out}", markup=False, soft_wrap=True)


def _run(study: Study, options: Options) -> None:
    models: dict[int, ScoredModel] = {}

    def model_of(ranks: int) -> ScoredModel:
        # Imported here: PyTorch takes seconds to load, and finished cases do not need it.
        from linksim.flash.pytorch.model import TensorParallelModel

        if ranks not in models:
            models.clear()
            models[ranks] = TensorParallelModel(options.model, ranks)
        return models[ranks]

    for case in track(
        cases(options),
        "scoring",
        console=messages,
        transient=True,
        disable=not messages.is_terminal,
    ):
        study.run(case, model_of)


def _case(one: Score) -> str:
    if one.bits == 16:
        return f"{one.ranks}, bf16"
    case = f"{one.ranks}, {one.bits}, {one.group}, {one.zero or 'symmetric'}"
    case += ", spikes" if one.spikes else ""
    return case if one.scale == OWN_SCALE else f"{case}, {one.scale} scale"


def _print(study: Study) -> None:
    columns = (
        "ranks, bits, group, zero",
        "algorithm",
        "bits on the wire",
        "bits per byte",
        "loss",
        "standard error",
    )
    rows = [
        (
            _case(one),
            one.algorithm,
            f"{one.bits_per_value:.3f}",
            f"{one.bits_per_byte:.4f}",
            f"{one.loss:+.4f}",
            f"{one.loss_error:.4f}",
        )
        for one in study.scores()
    ]
    about = study.about
    title = f"{about['model']}: {about['scored_bytes']} bytes of {about['text']}"
    print_table(title, columns, rows)
