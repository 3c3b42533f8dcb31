"""Beginning a task, or coming back to one: S1.

A new task deploys the contract with the members and the rules. A folder that holds a task
already is attached to, and the chain says how far it got.
"""

from __future__ import annotations

from dataclasses import dataclass
from logging import INFO
from typing import Any

from flwr.common.logger import log

from bcfl.chain.chain import Chain
from bcfl.chain.connection import Connection
from bcfl.consensus.contract.events import Closed
from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.contract.optimistic import OptimisticLedger
from bcfl.consensus.contract.settlement import SettlementLedger
from bcfl.consensus.parcels import Parcels
from bcfl.consensus.records import MOST_BLOB_BYTES
from bcfl.consensus.spec.codec import digest_of
from bcfl.consensus.spec.reference import MOST_BYTES
from bcfl.consensus.spec.rules import Rules
from bcfl.consensus.spec.update import Updates, updates_of
from bcfl.consensus.task_folder import TaskDescription, TaskFolder
from bcfl.core.errors import ConfigurationError, expect
from bcfl.core.model import Arrays, encode_model
from bcfl.keys.sealing import MAX_OVERHEAD_BYTES


@dataclass(frozen=True, slots=True)
class ConsensusTask:
    """A contract on a chain, and how far it has come."""

    ledger: Ledger
    rules: Rules
    updates: Updates[Any]
    arrays: Arrays  #: θ_g
    rounds_done: int  #: rounds closed; void ones do not count
    reference: bytes = b""  #: the reference set, where the rules name one


def begin_task(
    chain: Chain,
    parcels: Parcels,
    folder: TaskFolder,
    rules: Rules,
    seed: int,
    members: list[str],
    arrays: Arrays,
    stake_wei: int = 0,
    reference: bytes = b"",
) -> ConsensusTask:
    """Deploy the contract for ``members`` (addresses, in the order of their indices).

    Where there is a stake they are no members yet: everybody joins by an own deposit.

    Raises
    ------
    ConfigurationError
        Fewer than two members, or fewer than the quorum; or the folder holds a task.
    """
    if folder.description() is not None:
        raise ConfigurationError(f"{folder.path} holds a task already; resume it, or name another")
    least = max(2, rules.quorum)
    if len(members) < least:
        raise ConfigurationError(
            f"expected at least {least} members (two, and the quorum); found {len(members)}"
        )
    updates = updates_of(rules, arrays)
    updates.conform(arrays, arrays)
    size = updates.most_bytes(round=1) + MAX_OVERHEAD_BYTES
    expect(
        size <= MOST_BLOB_BYTES or parcels.shared,
        "gamma",
        f"deltas of at most {MOST_BLOB_BYTES:,} bytes, which a message can carry; lower it, say "
        "warmup_rounds=0, or let all nodes and the server have an IPFS node of their own",
        f"deltas of {size:,} bytes",
    )
    if left := updates.untrained:
        log(INFO, "not trained, and kept as they are for the whole task: %s", ", ".join(left))
    if (found := digest_of(reference).hex() if reference else "") != rules.reference:
        raise ConfigurationError(
            f"reference: expected the samples {rules.reference[:16] or 'none'}…, as the rules say; "
            f"found {found[:16] or 'none'}: PeerConsensus(reference=…) takes them"
        )
    if reference:
        parcels.put(reference)
    genesis = parcels.put(encode_model(arrays))
    folder.save_checkpoint(arrays)
    connection = chain.connect(chain.coordinator)
    ledger = _deploy(connection, chain, folder, rules, members, genesis, stake_wei)
    domain = ledger.domain
    folder.describe(
        TaskDescription(
            domain.chain_id,
            domain.contract,
            chain.coordinator.address,
            genesis.hex(),
            rules,
            seed,
            ledger.deployed_at,
        )
    )
    return ConsensusTask(ledger, rules, updates, arrays, 0, reference)


def _deploy(
    connection: Connection,
    chain: Chain,
    folder: TaskFolder,
    rules: Rules,
    members: list[str],
    genesis: bytes,
    stake_wei: int,
) -> Ledger:
    if rules.settlement == "optimistic":
        keep, wait = folder.keep_bundle, chain.wait_until
        return OptimisticLedger.begin(connection, wait, members, genesis, rules, keep)
    return Ledger.deploy(
        connection,
        chain.wait_until,
        members=[] if stake_wei else members,
        genesis=genesis,
        rules=rules.digest(),
        kappa_ppm=rules.kappa_ppm,
        quorum=rules.quorum,
        commit_window_s=rules.commit_window_s,
        ballot_window_s=rules.ballot_window_s,
        sealed=rules.ballots == "sealed",
        stake=stake_wei,
        rule=rules.rule,
    )


def resume_task(chain: Chain, parcels: Parcels, folder: TaskFolder) -> ConsensusTask | None:
    """The task of ``folder``, as the chain has it; None where none was begun.

    Raises
    ------
    LedgerError
        The contract is not on this chain.
    AuditError
        The folder lacks the model that the chain names.
    BlobError
        The store lacks the reference set.
    """
    description = folder.description()
    if description is None:
        return None
    ledger = _attach(chain, folder, description)
    arrays = folder.load_checkpoint(ledger.state().model)
    done = sum(isinstance(event, Closed) for event in ledger.events())
    rules = description.rules
    updates = updates_of(rules, arrays)
    reference = b""
    if rules.reference:
        reference = parcels.get(bytes.fromhex(rules.reference), MOST_BYTES)
    return ConsensusTask(ledger, rules, updates, arrays, done, reference)


def _attach(chain: Chain, folder: TaskFolder, task: TaskDescription) -> Ledger:
    where = chain.connect(chain.coordinator), task.contract, chain.wait_until, task.deployed_at
    if task.rules.settlement == "full":
        return Ledger.attach(*where)
    settlements = SettlementLedger.attach(*where)
    return OptimisticLedger.find(settlements, folder.bundles(), folder.keep_bundle)
