"""``bcfl demo market``: the marketplace from deposit to payment in one command, narrated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from bcfl.cli.market import carry_out

demo = typer.Typer(no_args_is_help=True)


@demo.callback()
def demo_() -> None:
    """See it work: all roles in one command, narrated."""


@demo.command("market")
def market_(
    folder: Annotated[
        Path, typer.Argument(help="Where it is written: not there yet, or empty.")
    ] = Path("bcfl-demo"),
    contributors: Annotated[int, typer.Option(min=1, max=5, help="Who sell a model.")] = 2,
    verifiers: Annotated[int, typer.Option(min=1, max=10, help="Who judge them.")] = 3,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over a contributor's data.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Decides keys, shares and weights.")] = 0,
) -> None:
    """Sell models of handwritten digits: deposit, train, seal, judge, pay, fuse; half a minute."""

    def program(tell: Callable[[str], None]) -> None:
        from bcfl.cli.market_demo import play_market  # noqa: PLC0415 - torch: seconds
        from bcfl.core.errors import ConfigurationError  # noqa: PLC0415

        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigurationError(
                f"expected an empty folder, or none yet, at {folder}; there is something in it: "
                "say another one, bcfl demo market FOLDER"
            )
        folder.mkdir(parents=True, exist_ok=True)
        play_market(folder, contributors, verifiers, epochs, seed, tell)

    carry_out(program, "begin anew in another folder")
