"""``bcfl stake join|leave|withdraw CONTRACT --rpc URL --key-file FILE``.

For tasks with ``membership=open``, by the member's own transactions; no server is asked.
Leaving is possible between rounds, and while a new model is awaited; it takes effect at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

stake = typer.Typer(
    help="Of tasks that anybody may join: join, leave, fetch the stake.", no_args_is_help=True
)

_Contract = Annotated[str, typer.Argument(help="The task's contract: 0x…; task.json names it.")]
_Rpc = Annotated[str, typer.Option(help="The JSON-RPC of an Ethereum node.")]
_KeyFile = Annotated[Path, typer.Option(help="The member's key file; password as elsewhere.")]


@stake.command()
def join(contract: _Contract, rpc: _Rpc, key_file: _KeyFile) -> None:
    """Deposit the stake and become a member, from the next round on."""
    _act("join", contract, rpc, key_file)


@stake.command()
def leave(contract: _Contract, rpc: _Rpc, key_file: _KeyFile) -> None:
    """End the membership; the stake can then be withdrawn."""
    _act("leave", contract, rpc, key_file)


@stake.command()
def withdraw(contract: _Contract, rpc: _Rpc, key_file: _KeyFile) -> None:
    """Fetch the stake, once the membership has ended."""
    _act("withdraw", contract, rpc, key_file)


def _act(what: str, contract: str, rpc: str, key_file: Path) -> None:
    from bcfl.chain.connection import Connection  # noqa: PLC0415
    from bcfl.cli.narrator import ask_for_password  # noqa: PLC0415
    from bcfl.consensus.contract.ledger import Ledger  # noqa: PLC0415
    from bcfl.core.errors import BcflError  # noqa: PLC0415
    from bcfl.keys.accounts import Account  # noqa: PLC0415 - web3: a second

    ask_for_password(key_file)
    try:
        account = Account.from_key_file(key_file)
        with Connection(rpc, account) as connection:
            ledger = Ledger.attach(connection, contract)
            act = {"join": ledger.join, "leave": ledger.leave, "withdraw": ledger.withdraw}[what]
            sent = act()
    except BcflError as error:
        print(f"bcfl: {type(error).__name__}: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    print(f"{what}: {account.address} in transaction {sent.hash}, {sent.gas} gas")
