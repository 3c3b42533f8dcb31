"""``bcfl stake join|leave|withdraw CONTRACT --rpc URL --key-file FILE``.

For tasks with ``membership=open``, by the member's own transactions; no server is asked.
Leaving is possible between rounds, and while a new model is awaited; it takes effect at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from bcfl.cli.own_transaction import Contract, KeyFile, Rpc, send

if TYPE_CHECKING:
    from pathlib import Path

    from bcfl.chain.connection import Connection
    from bcfl.chain.event import Transaction
    from bcfl.consensus.contract.ledger import Ledger

stake = typer.Typer(
    help="Of tasks that anybody may join: join, leave, fetch the stake.", no_args_is_help=True
)


@stake.command()
def join(contract: Contract, rpc: Rpc, key_file: KeyFile) -> None:
    """Deposit the stake and become a member, from the next round on."""
    _act("join", contract, rpc, key_file, lambda ledger: ledger.join())


@stake.command()
def leave(contract: Contract, rpc: Rpc, key_file: KeyFile) -> None:
    """End the membership; the stake can then be withdrawn."""
    _act("leave", contract, rpc, key_file, lambda ledger: ledger.leave())


@stake.command()
def withdraw(contract: Contract, rpc: Rpc, key_file: KeyFile) -> None:
    """Fetch the stake, once the membership has ended."""
    _act("withdraw", contract, rpc, key_file, lambda ledger: ledger.withdraw())


def _act(
    what: str, contract: str, rpc: str, key_file: Path, act: Callable[[Ledger], Transaction]
) -> None:
    def attached(connection: Connection) -> Transaction:
        from bcfl.consensus.contract.ledger import Ledger  # noqa: PLC0415 - half a second

        return act(Ledger.attach(connection, contract))

    send(what, rpc, key_file, attached)
