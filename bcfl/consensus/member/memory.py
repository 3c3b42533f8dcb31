"""What a client remembers of the round it is in, in Flower's ``context.state``.

Asked twice for one round, a member must say the same thing twice: two different deltas
signed for one round are proof of cheating. So it trains once, rates once, and repeats.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from flwr.app import ConfigRecord, Context, MetricRecord

from bcfl.consensus.member.membership import Membership
from bcfl.consensus.records import TrainReply
from bcfl.consensus.spec.domain import Ballot

__all__ = ["Memory"]

_ROUND = "bcfl-round"
_METRICS = "bcfl-metrics"
_TASK = "bcfl-contract"
_RECEIPTS = "bcfl-receipts"
_FIELDS = [field.name for field in fields(TrainReply)]


class Memory:
    """The round's commitment, ballot and receipt. Forgets them when the next round comes."""

    def __init__(self, context: Context, record: ConfigRecord) -> None:
        self._state = context.state
        self._record = record

    @classmethod
    def of(cls, context: Context, membership: Membership) -> Memory:
        """The memory of this round; empty if the node has not met it yet."""
        state = context.state
        round_ = membership.state.round
        state[_TASK] = ConfigRecord({"address": membership.ledger.domain.contract})
        record = state.config_records.get(_ROUND)
        if record is None or record["round"] != round_:
            record = ConfigRecord({"round": round_})
            state[_ROUND] = record
        return cls(context, record)

    def commitment(self) -> TrainReply | None:
        """What was committed in this round."""
        if "digest" not in self._record:
            return None
        found: dict[str, Any] = {name: self._record[name] for name in _FIELDS}
        return TrainReply(**found)

    def metrics(self) -> MetricRecord:
        """The training's metrics, as the app reported them."""
        return self._state.metric_records[_METRICS]

    def keep_commitment(self, reply: TrainReply, metrics: MetricRecord) -> None:
        """Remember what was signed, before it is sent."""
        for name in _FIELDS:
            self._record[name] = getattr(reply, name)
        self._state[_METRICS] = metrics

    def ballot(self) -> tuple[Ballot, dict[int, str]] | None:
        """The ballot of this round, and why the members it leaves out were rejected."""
        if "entries" not in self._record:
            return None
        rejected = json.loads(str(self._record["rejected"]))
        entries = self._record["entries"]
        assert isinstance(entries, bytes)
        ballot = Ballot.decode(int(str(self._record["round"])), entries)
        return ballot, {int(member): reason for member, reason in rejected.items()}

    def keep_ballot(self, ballot: Ballot, rejected: dict[int, str]) -> None:
        """Remember the ballot, before it is signed."""
        self._record["entries"] = ballot.encode()
        self._record["rejected"] = json.dumps(rejected)

    def keep_receipt(self, receipt: bytes) -> None:
        """Keep the coordinator's signed receipt of this round for ever: it may be evidence."""
        receipts = self._state.config_records.get(_RECEIPTS) or ConfigRecord()
        receipts[str(self._record["round"])] = receipt
        self._state[_RECEIPTS] = receipts
