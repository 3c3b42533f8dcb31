"""The ``bcfl`` command. Each sub-command lives in a module of its own, imported when called."""

from __future__ import annotations

import sys

import typer

__all__ = ["app", "main"]

app = typer.Typer(
    help="Federated learning in which an Ethereum contract decides whose updates count.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def bcfl() -> None:
    """Keep ``bcfl`` a group of commands, however few there are."""


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,  # Hydra's help lists every knob
)
def run(context: typer.Context) -> None:
    """Train together: bcfl run [-m] [NAME=VALUE …]; bcfl run --help lists every knob."""
    from bcfl.apps.hydra_entry import run_with_hydra  # noqa: PLC0415 - torch, Flower: seconds

    raise typer.Exit(run_with_hydra(context.args))


def main() -> None:
    """Entry point of the ``bcfl`` script."""
    app(sys.argv[1:], prog_name="bcfl")
