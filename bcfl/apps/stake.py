"""``python -m bcfl.apps.stake join|leave|withdraw CONTRACT --rpc URL --key-file FILE``.

For tasks with ``membership=open``, by the member's own transactions; no server is asked.
Leaving is possible between rounds, and while a new model is awaited; it takes effect at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bcfl.adapters.accounts import Account
from bcfl.adapters.ethereum import Connection
from bcfl.adapters.peer_ledger import PeerLedger
from bcfl.core.errors import BcflError

__all__ = ["app"]

app = typer.Typer(
    help="Join, leave, and fetch the stake, by one's own transactions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_Contract = Annotated[str, typer.Argument(help="The task's contract: 0x…; task.json names it.")]
_Rpc = Annotated[str, typer.Option(help="The JSON-RPC of an Ethereum node.")]
_KeyFile = Annotated[Path, typer.Option(help="The member's key file; password as elsewhere.")]


@app.command()
def join(contract: _Contract, rpc: _Rpc, key_file: _KeyFile) -> None:
    """Deposit the stake and become a member, from the next round on."""
    _act("join", contract, rpc, key_file)


@app.command()
def leave(contract: _Contract, rpc: _Rpc, key_file: _KeyFile) -> None:
    """End the membership; the stake can then be withdrawn."""
    _act("leave", contract, rpc, key_file)


@app.command()
def withdraw(contract: _Contract, rpc: _Rpc, key_file: _KeyFile) -> None:
    """Fetch the stake, once the membership has ended."""
    _act("withdraw", contract, rpc, key_file)


def _act(what: str, contract: str, rpc: str, key_file: Path) -> None:
    try:
        account = Account.from_key_file(key_file)
        with Connection(rpc, account) as connection:
            ledger = PeerLedger.attach(connection, contract)
            act = {"join": ledger.join, "leave": ledger.leave, "withdraw": ledger.withdraw}[what]
            sent = act()
    except BcflError as error:
        print(f"bcfl: {type(error).__name__}: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    print(f"{what}: {account.address} in transaction {sent.hash}, {sent.gas} gas")


if __name__ == "__main__":
    app()
