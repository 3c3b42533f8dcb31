"""S1: a task that runs: the nodes are met, the contract is there, and θ_g with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flwr.app import ArrayRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from bcfl.chain.chain import Chain
from bcfl.consensus.server.conversation import Conversation
from bcfl.consensus.server.coordinator import Coordinator
from bcfl.consensus.server.members import Admission, Members
from bcfl.consensus.server.round_log import past_records
from bcfl.consensus.server.task import ConsensusTask, begin_task, resume_task
from bcfl.consensus.spec.record import RoundRecord
from bcfl.consensus.spec.rules import Rules
from bcfl.consensus.task_folder import TaskFolder
from bcfl.core.errors import ConfigurationError
from bcfl.core.model import Arrays
from bcfl.flower.handlers import to_arrays
from bcfl.keys.public_keys import PublicKeys
from bcfl.store.blob_store import BlobStore


@dataclass(frozen=True, slots=True)
class Session:
    """Who takes part in a task, and what the server does of it on the chain."""

    conversation: Conversation
    members: Members
    task: ConsensusTask
    coordinator: Coordinator

    def present(self) -> dict[int, int]:
        """Member index to node id, of the members that are connected."""
        return self.conversation.present(self.coordinator.members)

    def expect_global(self, record: ArrayRecord, arrays: Arrays) -> None:
        """A round begins with the model, and its arrays, that the round before has closed.

        Raises
        ------
        ConfigurationError
            Somebody has changed it in between.
        """
        digest = self.coordinator.cache.model_digest(record, arrays)
        if digest != self.task.ledger.state().model:
            raise ConfigurationError(
                "the global model was changed after its round was closed, or is another than the "
                "task's: what an aggregate_train() of a derived class changes, no member accepts; "
                "change it in an inner strategy, PeerConsensus(inner=…)"
            )

    def conclude(self) -> None:
        """After the last round: the receipts that no further one will carry, and the deposit."""
        self.task.ledger.state()  # on the chain to stay, as far as is known
        owed = self.coordinator.owed | self.coordinator.ballot_receipts()
        self.conversation.hand_out(owed, self.present())
        self.task.ledger.conclude()


def begin(
    grid: Grid,
    arrays: ArrayRecord,
    *,
    rules: Rules,
    chain: Chain,
    store: BlobStore,
    folder: TaskFolder,
    admission: Admission,
    fedavg: FedAvg,
    seed: int,
    wait_s: float,
    encrypt: bool,
    resume: bool,
    on_round: Callable[[RoundRecord], None],
    reference: bytes,
) -> Session:
    """Meet the nodes; deploy the contract with members, rules and θ_g, or find it.

    Parameters are those of ``PeerConsensus``, and ``wait_s``: how long to wait for replies.

    Raises
    ------
    ConfigurationError, LedgerError, ModelError, NobodyLeft
        The task cannot begin.
    """
    account = chain.coordinator
    chain_id = chain.connect(account).chain_id
    keys = PublicKeys(folder.public_keys) if encrypt else None
    records = fedavg.arrayrecord_key, fedavg.configrecord_key
    begins = not resume or folder.description() is None
    conversation = Conversation(grid, chain_id, seed, wait_s, *records, keys, begins=begins)
    members = Members(conversation, chain, admission, fedavg, seed, store, folder, keys)
    parcels, addresses = members.parcels, members.gather(grid)
    task = resume_task(chain, parcels, folder) if resume else None
    if task is None:
        first, stake_wei = to_arrays(arrays), admission.stake_wei
        task = begin_task(
            chain, parcels, folder, rules, seed, addresses, first, stake_wei, reference
        )
        members.give_allowance(addresses)
    size = sum(array.nbytes for array in task.arrays.values())
    for record in past_records(task.ledger, folder.journal, parcels, size):
        on_round(record)
    return Session(conversation, members, task, Coordinator(task, parcels, folder, account))
