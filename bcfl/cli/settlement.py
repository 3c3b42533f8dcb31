"""``bcfl settlement challenge|convict|withdraw CONTRACT … --rpc URL --key-file FILE``.

For tasks with ``settlement=optimistic``, by one's own transactions, whoever one is; no server is
asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from bcfl.cli.own_transaction import Contract, KeyFile, Rpc, send

if TYPE_CHECKING:
    from pathlib import Path

    from bcfl.chain.connection import Connection
    from bcfl.chain.event import Transaction
    from bcfl.consensus.contract.settlement import SettlementLedger

settlement = typer.Typer(
    help="Of tasks that are settled optimistically: doubt a round, and have one's bond back.",
    no_args_is_help=True,
)

_Round = Annotated[
    int, typer.Argument(metavar="ROUND", help="The contract's number of the round, from 1.")
]
_Since = Annotated[
    int, typer.Option(help="A block before the round was settled; task.json: deployed_at.")
]


@settlement.command()
def challenge(
    contract: Contract, round_: _Round, rpc: Rpc, key_file: KeyFile, since: _Since = 0
) -> None:
    """Put down the bond: all that was signed in the round has to come on chain in time."""

    def act(ledger: SettlementLedger) -> Transaction:
        from bcfl.core.errors import ProtocolError  # noqa: PLC0415

        for event in ledger.settled(since):
            if event.round == round_:
                return ledger.challenge(event.record)
        raise ProtocolError(f"the contract has not settled round {round_} from block {since} on")

    _act("challenge", contract, rpc, key_file, act)


@settlement.command()
def convict(contract: Contract, round_: _Round, rpc: Rpc, key_file: KeyFile) -> None:
    """Where a challenge was not answered in time: the deposit is burnt, the round void."""
    _act("convict", contract, rpc, key_file, lambda ledger: ledger.convict(round_))


@settlement.command()
def take_back(contract: Contract, round_: _Round, rpc: Rpc, key_file: KeyFile) -> None:
    """Of a round that is void, as one before it is: the bond is owed to who challenged it."""
    _act("take-back", contract, rpc, key_file, lambda ledger: ledger.take_back(round_))


@settlement.command()
def withdraw(contract: Contract, rpc: Rpc, key_file: KeyFile) -> None:
    """Fetch what the contract owes this account."""
    _act("withdraw", contract, rpc, key_file, lambda ledger: ledger.withdraw())


def _act(
    what: str,
    contract: str,
    rpc: str,
    key_file: Path,
    act: Callable[[SettlementLedger], Transaction],
) -> None:
    def attached(connection: Connection) -> Transaction:
        from bcfl.consensus.contract.settlement import SettlementLedger  # noqa: PLC0415

        return act(SettlementLedger.attach(connection, contract))

    send(what, rpc, key_file, attached)
