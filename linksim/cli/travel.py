"""`linksim study travel`: how far codebooks travel to tensors they have not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track

from linksim.cli.output import console, messages, print_json, print_table
from linksim.errors import LinksimError
from linksim.studies.link_bias import POLICIES
from linksim.studies.travel import Judge, study_document
from linksim.studies.travel_messages import messages_of
from linksim.studies.travel_results import MODEL, MODELS, NO_BIAS, PROMPTS, SCHEMES, SETS


def travel_command(
    files: Annotated[
        list[Path], typer.Argument(help="Tensor files or traces, one per model; at least two.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for travel.png.")] = Path(
        "results/study"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Code every tensor with books from other prompts, tensors and models; draw what that loses.

    Losses are bits above the tensor's own Huffman code in the same message format, in percent of
    the 16 bits of a bf16 value. Tensors of other formats are rounded to bf16.
    """
    if out.exists() and not out.is_dir():
        raise LinksimError(f"{out}: a file: expected a folder to write to")
    judge = Judge(messages_of(files))
    walked = track(
        judge.messages,
        "judging",
        console=messages,
        transient=True,
        disable=not messages.is_terminal,
    )
    document = study_document(judge, [judge.travel(message) for message in walked], out)
    if as_json:
        print_json(document)
        return
    for origin in dict.fromkeys(message.origin for message in judge.messages if message.origin):
        console.print(origin, markup=False, soft_wrap=True)
    _print_losses(document)
    _print_link_bias(document)
    for scope, found in document["within"].items():
        console.print(
            f"{scope}, {found['scheme']}: {found['sites'] - len(found['beyond'])} of "
            f"{found['sites']} tensors within {found['percent']:g} % of 16 bits",
            markup=False,
            soft_wrap=True,
        )
    console.print(f"{out / 'travel.png'}", markup=False, soft_wrap=True)


def _print_losses(document: dict[str, Any]) -> None:
    columns = (
        "tensor",
        "messages",
        "bytes each",
        PROMPTS,
        f"{MODEL}: {SETS[1]}",
        f"{MODELS}: {NO_BIAS}",
        *list(SCHEMES)[1:],
    )
    rows = []
    for site in document["sites"]:
        models = site["losses"][MODELS]
        rows.append(
            (
                f"{site['model']}: {site['site']}",
                site["messages"],
                site["raw_nbytes"] // site["messages"],
                _percent(site["losses"][PROMPTS].get(NO_BIAS)),
                _percent(site["losses"][MODEL].get(SETS[1])),
                *(_percent(models.get(scheme)) for scheme in SCHEMES),
            )
        )
    print_table("Above own Huffman, % of 16 bits a value", columns, rows)


def _print_link_bias(document: dict[str, Any]) -> None:
    rows = [
        (
            found["name"],
            found["flits"],
            *(_percent(found["above_own_percent_of_value"][policy]) for policy in POLICIES),
        )
        for found in document["link_bias"]
    ]
    title = f"Bias per flit, book {SETS[1]} from other models: above own Huffman, % of 16 bits"
    print_table(title, ("tensor", "flits", *POLICIES), rows)


def _percent(loss: float | None) -> str:
    return "" if loss is None else f"{loss:+.2f}"
