"""The command tree."""

from __future__ import annotations

import typer

from linksim import __version__
from linksim.cli import bench, codebook, codec, flash, presets, study, trace, validate
from linksim.cli.advise import advise_command
from linksim.cli.replay import replay_command

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Does compressing what crosses a link pay? Replays tensor traces over modelled links.",
)
for _name, _commands in (
    ("trace", trace.app),
    ("codebook", codebook.app),
    ("codec", codec.app),
    ("link", presets.link_app),
    ("engine", presets.engine_app),
    ("study", study.app),
    ("flash", flash.app),
    ("validate", validate.app),
    ("bench", bench.app),
):
    app.add_typer(_commands, name=_name)
app.command("replay")(replay_command)
app.command("advise")(advise_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"linksim {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass
