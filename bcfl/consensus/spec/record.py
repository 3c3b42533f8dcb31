"""What one round was: for progress bars, ``result.json``, and whoever reads a run later."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """One round of a task, void or closed. Members are named by index."""

    round: int  #: Flower's server round, from 1
    chain_round: int  #: the contract's; ahead of ``round`` by the void ones
    void: bool
    base: str  #: hex digest of θ_g at opening
    model: str  #: hex digest of θ_g at closing
    expected: tuple[int, ...]
    committed: tuple[int, ...]
    voted: tuple[int, ...]
    winners: tuple[int, ...]
    scores: dict[int, int] = field(default_factory=dict)  #: doubled Borda totals, or the rule's
    proposals: dict[int, tuple[int, ...]] = field(default_factory=dict)  #: by proposer: whom
    chosen: tuple[int, ...] = ()  #: whose proposals won
    ballots: dict[int, dict[int, int]] = field(default_factory=dict)  #: i → j → M[i, j]
    rejected: dict[int, dict[int, str]] = field(default_factory=dict)  #: by i: j → why
    left_out: dict[int, str] = field(default_factory=dict)  #: who did not commit or vote, and why
    abstained: dict[int, tuple[int, ...]] = field(default_factory=dict)  #: by i: whom it missed
    transactions: dict[str, list[str]] = field(default_factory=dict)  #: by phase
    gas: dict[str, int] = field(default_factory=dict)  #: by phase
    seconds: dict[str, float] = field(default_factory=dict)  #: by phase
    bytes_up: int = 0  #: encoded deltas, ballots and signatures, all members together
    bytes_up_dense: int = 0  #: the same members' arrays, had they been sent whole
    bytes_down: int = 0  #: models and deltas sent out
    bytes_down_dense: int = 0  #: models sent out once, as FedAvg does

    @property
    def reasons(self) -> str:
        """Why members are left out: each reason once, with everybody whom it is about."""
        about: dict[str, list[str]] = {}
        for member, reason in sorted(self.left_out.items()):
            about.setdefault(reason, []).append(str(member))
        told = (f"member {', '.join(members)}: {reason}" for reason, members in about.items())
        return "; ".join(told)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values: tuples become lists, and the keys of dictionaries strings."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain
