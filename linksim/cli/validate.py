"""`linksim validate`: the simulator held against measurements and other simulators."""

from __future__ import annotations

import typer

from linksim.cli.booksim import booksim_command
from linksim.cli.nccl import nccl_command
from linksim.cli.theory import theory_command

app = typer.Typer(
    no_args_is_help=True, help="Hold the simulator against measurements and other simulators."
)
app.command("theory")(theory_command)
app.command("booksim")(booksim_command)
app.command("nccl")(nccl_command)
