"""`linksim study ttft`: time to first token with quantized and lossless all-reduces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linksim.cli.output import check_folder, console, messages, print_json, print_table
from linksim.prefill import Prompts
from linksim.studies.ttft import BOXES, MODELS, SIZES, Options, TtftStudy, ttft_study
from linksim.studies.ttft_lossless import coded_share
from linksim.studies.ttft_tables import (
    claim_table,
    first_token_table,
    pays_table,
    study_markdown,
)
from linksim.traces.store import Trace, write_json
from linksim.writing import written_whole


def ttft_command(
    trace: Annotated[
        Path, typer.Argument(help="Trace folder, for what the lossless codec saves.")
    ] = Path("traces/bundled"),
    box: Annotated[
        list[str] | None,
        typer.Option(help=f"Box card; again for more. Default: {', '.join(BOXES)}."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help=f"Model card; again for more. Default: {', '.join(MODELS)}."),
    ] = None,
    size: Annotated[
        list[int] | None,
        typer.Option(help="Swept size in bytes; again for more. Default: 16 KiB to 256 MiB."),
    ] = None,
    batch: Annotated[int, typer.Option(help="Prompts.")] = Prompts.batch,
    tokens: Annotated[int, typer.Option(help="Tokens of each prompt.")] = Prompts.tokens,
    group: Annotated[int, typer.Option(help="Values that share a scale.")] = Options.group,
    overlap: Annotated[
        float, typer.Option(help="Share of communication that is hidden behind computing.")
    ] = Options.overlap,
    matmul_share: Annotated[
        float | None,
        typer.Option(help="Share of the matrix peak that is reached; default: the GPU card's."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for ttft.json, ttft.md, ttft.png and ttft-sizes.png.")
    ] = Path("results/study"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Model the time to first token of tensor-parallel prefill, format by format.

    Computing is a roofline on published figures, communication is simulated. Beside it the sizes
    from which each format pays, and what papers and projects state.
    """
    check_folder(out)
    options = Options(
        boxes=tuple(box or BOXES),
        models=tuple(model or MODELS),
        sizes=tuple(size or SIZES),
        prompts=Prompts(batch=batch, tokens=tokens),
        group=group,
        overlap=overlap,
        matmul_share=matmul_share,
    )
    opened = Trace.open(trace)
    study = ttft_study(options, opened, coded_share(opened), _tell)
    # Imported here: drawing takes a second to load and most commands never draw.
    from linksim.studies.ttft_figures import first_token_figure, sizes_figure

    out.mkdir(parents=True, exist_ok=True)
    first_token_figure(study, out / "ttft.png")
    sizes_figure(study, out / "ttft-sizes.png")
    with written_whole(out / "ttft.md") as part:
        part.write_text(study_markdown(study), encoding="utf-8")
    write_json(out / "ttft.json", study.document())
    if as_json:
        print_json(study.document())
    else:
        _print(study, out)


def _tell(what: str) -> None:
    if messages.is_terminal:
        messages.print(f"simulating {what}", markup=False)


def _print(study: TtftStudy, out: Path) -> None:
    first = study.options.models[0]
    print_table(f"Time to first token, {first}", *first_token_table(study, first))
    print_table("Smallest swept size from which a format pays", *pays_table(study))
    print_table("Beside what others state", *claim_table(study))
    console.print(f"All tables and figures are in {out}", markup=False, soft_wrap=True)
