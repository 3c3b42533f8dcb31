"""Gas of settled rounds, from the receipts of transactions on an in-process chain.

``python -m tests.contracts.settlement_gas`` writes the snapshot ``settlement_gas.json``. A quiet
round is the second: in the first, more words of storage are new.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from bcfl.consensus.contract.bundle import Bundle
from bcfl.consensus.spec.contract import Terms
from bcfl.consensus.spec.domain import Commitment
from bcfl.consensus.spec.settlement import Record, winners_of
from tests.contracts.peer_consensus_gas import GasTask, digest
from tests.contracts.peer_consensus_keys import account
from tests.contracts.settlement_task import bundle_of

SNAPSHOT = Path(__file__).with_name("settlement_gas.json")
SIZES = (10, 100, 128)
DEPOSIT, BOND = 10**18, 10**17


class SettlementGasTask(GasTask):
    """As ``GasTask``, of a ``PeerSettlement``."""

    def __init__(self, size: int) -> None:
        super().__init__(size, "PeerSettlement", (3600, BOND), DEPOSIT)
        self.terms = Terms(500_000, 1, 3600, 3600, False, 0)
        self.everybody = 2**size - 1
        gas = self.functions.open_round(digest("genesis"))
        self.opening = self.gas(gas)

    def settle(self) -> tuple[dict[str, Any], Record, Bundle]:
        """A whole round of everybody; the receipt, and what was settled."""
        standing = self.functions.standing().call()
        self.round, self.base, self.opened_at = standing[0], standing[2], standing[5]
        bundle = bundle_of(
            [self.signed_commitment(i) for i in range(self.size)],
            [self.signing.ballot(i, account(i), self.ballot(i)) for i in range(self.size)],
        )
        record = Record(
            self.round,
            bundle.root(),
            self.base,
            digest(f"model {self.round}"),
            0,
            self.everybody,
            self.everybody,
            0,
            self.opened_at,
            self.opened_at + 1,
        )
        accounts = [account(i).address for i in range(self.size)]
        signed = bundle.signed(record, self.signing.domain, accounts)
        winners = winners_of(record, self.terms, signed)
        words = self.round, record.root, winners, record.model, 0, self.everybody
        receipt = self.send(self.functions.settle(*words, self.opened_at, self.opened_at + 1))
        settled_at = self.web3.eth.get_block(receipt["blockNumber"])["timestamp"]
        values = [*astuple(record)]
        values[4], values[9] = winners, settled_at
        return receipt, Record(*values), bundle

    def signed_commitment(self, member: int) -> tuple[Any, ...]:
        """Of the round that is open."""
        said = Commitment(self.round, self.base, self.delta(member), self.opened_at)
        return self.signing.commitment(member, account(member), said)


def measure(sizes: Sequence[int] = SIZES) -> dict[str, dict[str, int]]:
    """All figures, by number of members and call."""
    figures = {}
    for size in sizes:
        task = SettlementGasTask(size)
        task.settle()
        receipt, record, bundle = task.settle()
        challenge = task.functions.challenge(astuple(record))
        answer = task.functions.answer(astuple(record), *bundle.words())
        figures[str(size)] = {
            "deployment": task.deployment,
            "open_round": task.opening,
            "settle": int(receipt["gasUsed"]),
            "challenge": int(task.send(challenge, BOND)["gasUsed"]),
            "answer": task.gas(answer),
            "answer, bytes": len(bytes.fromhex(answer._encode_transaction_data()[2:])),
        }
    return figures


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    print(SNAPSHOT.read_text(encoding="utf-8"))
