"""Gas of a round by phase, from the receipts of transactions on an in-process chain.

``python -m tests.contracts.peer_consensus_gas`` writes the snapshot ``gas.json``.
The second round is measured: in the first, every word of storage is new, and dear; it pays for
the opening of the third, and the first has paid for its own.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

from eth_tester import EthereumTester, PyEVMBackend
from web3 import EthereumTesterProvider, Web3
from web3.types import Wei

from bcfl.consensus.contract.batches import pack_ballots, pack_commitments, transactions_of
from bcfl.consensus.spec.domain import Ballot, Commitment, TypedDataDomain
from bcfl.consensus.spec.fixed_point import to_value
from bcfl.contracts import artifact
from tests.contracts.peer_consensus_keys import Signing, account

SNAPSHOT = Path(__file__).with_name("gas.json")
SIZES = (10, 20, 100)
ETHER = 10**18
#: What a transaction costs at least, by its calldata: EIP-7623, in force since Prague, and as
#: EIP-7976, proposed for Glamsterdam, would have it.
FLOORS = {
    "round, EIP-7976": lambda data: 21_000 + 64 * len(data),
    "round, EIP-7623": lambda data: 21_000 + 10 * (4 * len(data) - 3 * data.count(0)),
}
#: Gas by number of members, as text, and call.
Figures: TypeAlias = dict[str, dict[str, int]]


class GasTask:
    """A task of the given size on a chain of its own; calls give the gas of their receipts."""

    def __init__(
        self,
        size: int,
        contract: str = "PeerConsensus",
        terms: tuple[int, int] = (False, 0),
        value: int = 0,
    ) -> None:
        self.size = size
        self.floored: dict[str, int] = {}  #: of all calls, where their floors are higher
        # From a time to come, each block is a second later than the one before, whatever the
        # clock says: a timestamp's bytes cost gas, too.
        overrides = {"gas_limit": 10**9, "timestamp": 4_000_000_000}
        parameters = PyEVMBackend.generate_genesis_params(overrides)
        backend = PyEVMBackend(genesis_parameters=parameters)
        self.web3 = Web3(EthereumTesterProvider(EthereumTester(backend)))
        self.coordinator = self.web3.eth.accounts[0]
        compiled = artifact(contract)
        factory = self.web3.eth.contract(abi=compiled.abi, bytecode=compiled.bytecode)
        addresses = [account(i).address for i in range(size)]
        receipt = self.send(
            factory.constructor(
                addresses, digest("genesis"), digest("rules"), 500_000, 1, 3600, 3600, *terms
            ),
            value,
        )
        address = receipt["contractAddress"]
        self.deployment = int(receipt["gasUsed"])
        self.functions = factory(address).functions
        self.signing = Signing(TypedDataDomain(self.web3.eth.chain_id, address))

    def send(self, call: Any, value: int = 0) -> Any:
        """The receipt of the coordinator's transaction."""
        sent = {"from": self.coordinator, "gas": 5 * 10**7, "value": value}
        transaction = call.transact(sent)
        receipt = self.web3.eth.get_transaction_receipt(transaction)
        assert receipt["status"] == 1
        return receipt

    def send_as(self, member: int, call: Any) -> int:
        """The gas of a member's own transaction."""
        key = account(member)
        self.web3.eth.send_transaction(
            {"from": self.coordinator, "to": key.address, "value": Wei(ETHER)}
        )
        transaction = call.build_transaction(
            {
                "from": key.address,
                "gas": 10**7,
                "nonce": self.web3.eth.get_transaction_count(key.address),
            }
        )
        raw = key.sign_transaction(transaction).raw_transaction
        receipt = self.web3.eth.get_transaction_receipt(self.web3.eth.send_raw_transaction(raw))
        assert receipt["status"] == 1
        return int(receipt["gasUsed"])

    def gas(self, call: Any) -> int:
        receipt = self.send(call)
        used = int(receipt["gasUsed"])
        data = bytes(self.web3.eth.get_transaction(receipt["transactionHash"])["input"])
        for name, floor in FLOORS.items():
            self.floored[name] = self.floored.get(name, 0) + max(used, floor(data))
        return used

    # -- a round ------------------------------------------------------------------------------

    def open(self) -> int:
        """The first; each later one is opened with the end of the one before."""
        gas = self.gas(self.functions.open_round(digest("genesis"), 2**self.size - 1))
        self.look()
        return gas

    def look(self) -> None:
        """Which round is open now."""
        state = self.functions.state().call()
        self.round, self.base, self.opened_at = state[0], state[2], state[9]

    def commit(self, members: range) -> int:
        batch = [
            self.signing.commitment(
                i,
                account(i),
                Commitment(self.round, self.base, self.delta(i), self.opened_at),
            )
            for i in members
        ]
        return self.gas(self.functions.commit(self.round, *pack_commitments(batch)))

    def delta(self, member: int) -> bytes:
        return digest(f"delta {self.round} {member}")

    def ballot(self, member: int) -> Ballot:
        """What an honest reviewer says: losses around 1.2, in 32 bits.

        Some deltas are better than others, so that reviewers agree, not quite, on the order.
        """
        quality = random.Random(self.round).sample(range(self.size), self.size)
        noise = random.Random(f"{self.round} {member}")
        loss = {
            j: 1.2 - 0.4 * quality[j] / self.size + noise.gauss(0, 0.02) for j in range(self.size)
        }
        return Ballot.from_values(
            self.round, {j: to_value(-loss[j]) for j in range(self.size) if j != member}
        )

    def vote(self, members: range) -> int:
        ballots = [self.signing.ballot(i, account(i), self.ballot(i)) for i in members]
        return sum(
            self.gas(self.functions.cast_ballots(self.round, *pack_ballots(batch)))
            for batch in transactions_of(ballots)
        )

    def close(self) -> int:
        model = digest(f"model {self.round}")
        gas = self.gas(self.functions.close_round(self.round, model, 2**self.size - 1))
        self.look()
        return gas


def digest(text: str) -> bytes:
    """As a blob's: 32 bytes that look random."""
    return sha256(text.encode()).digest()


def relayed(task: GasTask) -> dict[str, int]:
    """A whole round with everybody, in as few transactions as there can be.

    Its end opens the next.
    """
    everybody = range(task.size)
    task.floored.clear()
    gas = {
        "commit": task.commit(everybody),
        "cast_ballots": task.vote(everybody),
        "close_round": task.close(),
    }
    return gas | {"round": sum(gas.values())} | task.floored


def direct(task: GasTask) -> dict[str, int]:
    """One member's own transactions in a round in which others have gone before."""
    task.commit(range(1))
    commit = task.functions.commit_direct(task.round, task.delta(1), task.opened_at)
    gas = {"commit_direct": task.send_as(1, commit)}
    task.commit(range(2, task.size))
    task.vote(range(1))
    ballot = task.functions.cast_ballot_direct(task.round, task.ballot(1).encode(), bytes(32))
    gas["cast_ballot_direct"] = task.send_as(1, ballot)
    task.vote(range(2, task.size))
    task.close()
    return gas


def all_tied(task: GasTask) -> dict[str, int]:
    """The dearest count there can be: all have the same points, and lots decide."""
    task.commit(range(task.size))
    task.ballot = lambda member: Ballot.from_values(  # type: ignore[method-assign]
        task.round, {j: 2**31 for j in range(task.size) if j != member}
    )
    return {"cast_ballots, all tied": task.vote(range(task.size))}


def measure(sizes: Sequence[int] = SIZES, relayed_alone: Sequence[int] = ()) -> Figures:
    """All figures, by number of members and call; of some sizes, those of a relayed round."""
    figures = {}
    for size in sizes:
        task = GasTask(size)
        before = {"deployment": task.deployment, "open_round": task.open()}
        relayed(task)
        figures[str(size)] = before | relayed(task)
        if size not in relayed_alone:
            figures[str(size)] |= direct(task) | all_tied(task)
    return figures


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    print(SNAPSHOT.read_text(encoding="utf-8"))
