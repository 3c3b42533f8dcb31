"""Joining a task of which one becomes a member by one's own deposit (``membership="open"``).

A node is asked by the server, and answers only if its owner has said how much it may deposit:
``--node-config 'bcfl-key-file="/path/key.json" bcfl-stake-wei=1000000000000000000'``. It pays
from its own account, reads the stake from the contract and not from the server, and gets it
back by leaving and withdrawing (``bcfl stake``). Two deltas signed for one
round forfeit it.
"""

from __future__ import annotations

from flwr.app import Context

from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.member.task import attach
from bcfl.consensus.records import LONGEST_REASON, EnrolOrder, EnrolReply
from bcfl.core.errors import BcflError, ConfigurationError
from bcfl.flower.identity import (
    MOST_STAKE_WEI,
    SIGNER,
    has_own_key,
    refuse_development_key,
)
from bcfl.keys.accounts import DEVELOPMENT_CHAINS
from bcfl.keys.signer import Wallet


def enrol(order: EnrolOrder, context: Context, signer: Wallet, *, simulated: bool) -> EnrolReply:
    """Deposit the stake, unless this node is a member; or say why it does not become one.

    ``simulated`` says that the signer may have a development key, which
    ``refuse_development_key`` keeps off every chain that matters.
    """
    try:
        ledger, _, view = attach(order, context, signer)
        members = view.members
        if signer.address in members and view.active >> members.index(signer.address) & 1:
            return EnrolReply("", "")
        if simulated:
            refuse_development_key(context, ledger.domain.chain_id)
        _expect_allowed(ledger, context)
        return EnrolReply(ledger.join().hash, "")
    except BcflError as error:
        return EnrolReply("", str(error)[:LONGEST_REASON])


def _expect_allowed(ledger: Ledger, context: Context) -> None:
    """A simulated node on a development chain deposits anything: nothing is worth anything there.

    Raises
    ------
    ConfigurationError
        The node's owner has not allowed a deposit, or less than this one.
    """
    most = context.node_config.get(MOST_STAKE_WEI)
    if SIGNER in context.node_config:
        return  # which has its own limit
    if most is None and not has_own_key(context) and ledger.domain.chain_id in DEVELOPMENT_CHAINS:
        return
    if most is None or ledger.stake > int(str(most)):
        allowed = "none" if most is None else f"up to {most} wei"
        raise ConfigurationError(
            f"membership of {ledger.domain.contract} takes a deposit of {ledger.stake} wei, and "
            f"this node's configuration allows {allowed}; to join, start it with --node-config "
            f"'{MOST_STAKE_WEI}={ledger.stake}'"
        )
