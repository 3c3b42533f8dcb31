"""What one round of a marketplace in a federation was: for ``result.json`` and progress bars."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from bcfl.market.federation.marketplace import Marketplace
from bcfl.market.roles.history import SubmissionLog
from bcfl.market.statement import transactions_of


@dataclass(frozen=True, slots=True)
class MarketRecord:
    """One contributor's turn. Node names are their partitions' positions, from 0."""

    round: int  #: Flower's server round, from 1
    chain_round: int  #: the same
    contributor: int
    submission: str  #: hex digest; empty where nothing was submitted
    outcome: str  #: paid, rejected, void, or why nothing was submitted
    fused: int  #: how many models are one now
    fitness: dict[int, float] = field(default_factory=dict)  #: reported, by verifier
    reasons: dict[int, str] = field(default_factory=dict)  #: by verifier
    gas: dict[str, int] = field(default_factory=dict)  #: by event
    seconds: dict[str, float] = field(default_factory=dict)  #: by phase
    bytes_up: int = 0  #: the sealed model, as published
    bytes_up_dense: int = 0  #: the same: a model travels whole, and once
    bytes_down: int = 0  #: the sealed model, to each verifier
    bytes_down_dense: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; the keys of dictionaries become strings."""
        plain = asdict(self)
        for name in ("fitness", "reasons"):
            plain[name] = {str(key): value for key, value in plain[name].items()}
        return plain


def describe_round(
    server_round: int,
    market: Marketplace,
    submitted: SubmissionLog,
    *,
    models: int,
    seconds: dict[str, float],
) -> MarketRecord:
    """The record of a round whose submission has an outcome.

    Parameters
    ----------
    models : int
        How many are one now.
    seconds : dict
        By phase.
    """
    gas: dict[str, int] = {}
    for transaction, name in transactions_of(market.ledger.events(), submitted.digest).items():
        gas[name] = gas.get(name, 0) + market.gas_of(transaction)
    index = {address: number for number, address in enumerate(market.nodes)}
    # strangers may verify, too; they have no index
    reports = [(who, report) for who, report in submitted.reports.items() if who in index]
    assert submitted.outcome is not None
    size_bytes = market.size_of(submitted)
    return MarketRecord(
        server_round,
        server_round,
        index[submitted.contributor],
        submitted.digest.hex(),
        submitted.outcome.name.lower(),
        models,
        {index[who]: report.fitness / 1e6 for who, report in reports},
        {index[who]: report.reason.name.lower() for who, report in reports},
        gas,
        seconds,
        bytes_up=size_bytes,
        bytes_up_dense=size_bytes,
        bytes_down=size_bytes * len(submitted.reports),
        bytes_down_dense=size_bytes * len(submitted.reports),
    )
