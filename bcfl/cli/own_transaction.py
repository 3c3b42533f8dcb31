"""A transaction of one's own, from a key file, and the line that says what became of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bcfl.chain.connection import Connection
    from bcfl.chain.event import Transaction

Contract = Annotated[str, typer.Argument(help="The task's contract: 0x…; task.json names it.")]
Rpc = Annotated[str, typer.Option(help="The JSON-RPC of an Ethereum node.")]
KeyFile = Annotated[Path, typer.Option(help="One's own key file; password as elsewhere.")]


def send(what: str, rpc: str, key_file: Path, act: Callable[[Connection], Transaction]) -> None:
    """Let ``act`` send it; exit with 1 where it is refused."""
    from bcfl.chain.connection import Connection  # noqa: PLC0415
    from bcfl.cli.narrator import ask_for_password  # noqa: PLC0415
    from bcfl.core.errors import BcflError  # noqa: PLC0415
    from bcfl.keys.accounts import Account  # noqa: PLC0415

    ask_for_password(key_file)
    try:
        account = Account.from_key_file(key_file)
        with Connection(rpc, account) as connection:
            sent = act(connection)
    except BcflError as error:
        print(f"bcfl: {type(error).__name__}: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    print(f"{what}: {account.address} in transaction {sent.hash}, {sent.gas} gas")
