"""Gas of a round in which members propose, by phase, beside ``borda``'s in ``gas.json``.

``python -m tests.contracts.proposals_gas`` writes the snapshot ``proposals_gas.json``. The second
round is measured, as there.
"""

from __future__ import annotations

import json
from pathlib import Path

from bcfl.consensus.contract.batches import pack_ballots
from bcfl.consensus.spec import referee
from bcfl.consensus.spec.domain import Ballot, Proposal, bits
from bcfl.consensus.spec.fixed_point import to_value
from tests.contracts.peer_consensus_gas import GasTask, account
from tests.contracts.proposal_task import CONTRACTS, Rule

SNAPSHOT = Path(__file__).with_name("proposals_gas.json")
SIZE = 10


class ProposalGasTask(GasTask):
    """Everybody proposes, and rates what was proposed.

    Under ``coalition`` every member has a set of its own; under ``referee`` the honest agree on
    one, and four of ten propose others.
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__(SIZE, CONTRACTS[rule])
        self.rule = rule

    def sets(self) -> dict[int, int]:
        """By proposer, bit fields."""
        liars = range(4) if self.rule == "referee" else range(SIZE)
        return {i: bits({*range(4, SIZE)} - ({i} if i in liars else set())) for i in range(SIZE)}

    def propose(self) -> int:
        batch = [
            self.signing.proposal(i, account(i), Proposal(self.round, members))
            for i, members in self.sets().items()
        ]
        return self.gas(self.functions.propose(self.round, batch))

    def rating(self, member: int) -> Ballot:
        """Losses near 0.4, in 32 bits, of everything that the rule lets the member rate."""
        noise = 0.01 * member if self.rule == "coalition" else 0.0
        loss = {
            j: 0.4 + 0.01 * (members & 15) + 0.001 * (j * 7 % SIZE) * (self.rule == "coalition")
            for j, members in self.sets().items()
        }
        rated = [j for j in loss if j != member or self.rule == "referee"]
        values = {j: to_value(-loss[j] - noise * (j % 3)) for j in rated}
        return Ballot.from_values(self.round, values)

    def relayed(self) -> dict[str, int]:
        """A whole round with everybody, in as few transactions as there can be."""
        everybody = range(SIZE)
        self.floored.clear()
        gas = {"commit": self.commit(everybody)}
        gas["propose"] = self.propose()
        ballots = {i: self.rating(i) for i in everybody}
        batch = [self.signing.ballot(i, account(i), ballot) for i, ballot in ballots.items()]
        gas["cast_ballots"] = self.gas(
            self.functions.cast_ballots(self.round, *pack_ballots(batch))
        )
        shown = [list(self.sets().items()), [(i, b.encode()) for i, b in ballots.items()]]
        if self.rule == "referee":
            found = referee.medians(ballots, self.sets().keys())
            shown.append([found[i] for i in self.sets()])
        gas["select"] = self.gas(self.functions.select(*shown))
        gas["close_round"] = self.close()
        return gas | {"round": sum(gas.values())} | self.floored


def measure() -> dict[str, dict[str, int]]:
    """All figures, by rule and call."""
    figures = {}
    for rule in CONTRACTS:
        task = ProposalGasTask(rule)  # type: ignore[arg-type]
        before = {"deployment": task.deployment, "open_round": task.open()}
        task.relayed()
        figures[rule] = before | task.relayed()
    return figures


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    print(SNAPSHOT.read_text(encoding="utf-8"))
