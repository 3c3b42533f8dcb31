"""What a client remembers of the round it is in, in Flower's ``context.state``.

Asked twice for one round, a member must say the same thing twice: two different deltas
signed for one round are proof of cheating. So it trains once, rates once, and repeats. Flower
keeps this for one run; what outlives a run is in ``sign_once`` and ``kept``.

In a simulation a run may have several tasks, one after the other. A chain in a process begins anew
with each, and has its contract at the same address: so the server says that another task begins.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from flwr.app import ConfigRecord, Context, RecordDict

from bcfl.consensus.member.membership import Membership
from bcfl.consensus.member.task import ROUND
from bcfl.consensus.records import TrainReply
from bcfl.consensus.spec.domain import Ballot, Proposal, TypedDataDomain
from bcfl.flower.record import config_in

_REPLY = "bcfl-reply/"
_TASK = "bcfl-contract"
_BEGUN = "bcfl-task"
_OURS = "bcfl-"
_FIELDS = [field.name for field in fields(TrainReply)]


class Memory:
    """The round's commitment and ballot. Forgets them when the next round comes."""

    def __init__(self, context: Context, record: ConfigRecord) -> None:
        self._state = context.state
        self._record = record

    @staticmethod
    def begin(context: Context, task: bytes) -> None:
        """A task begins, which was given these bytes: of another, all is forgotten.

        The server draws them: for chains on which nothing is worth anything.
        """
        state, begun = context.state, ConfigRecord({"task": task})
        if state.config_records.get(_BEGUN) != begun:
            for key in [key for key in state if key.startswith(_OURS)]:
                del state[key]
            state[_BEGUN] = begun

    @classmethod
    def of(cls, context: Context, membership: Membership) -> Memory:
        """The memory of this round; empty if the node has not met it yet."""
        state = context.state
        round_ = membership.state.round
        ledger = membership.ledger
        state[_TASK] = ConfigRecord(
            {
                "address": ledger.domain.contract,
                "chain-id": ledger.domain.chain_id,
                "coordinator": ledger.coordinator,
            }
        )
        record = config_in(state, ROUND)
        if record is None or record["round"] != round_:
            record = ConfigRecord({"round": round_})
            state[ROUND] = record
        return cls(context, record)

    @staticmethod
    def task(context: Context) -> tuple[TypedDataDomain, str] | None:
        """The task that the node is a member of, as far as it remembers, and its coordinator."""
        known = config_in(context.state, _TASK)
        if known is None:
            return None
        domain = TypedDataDomain(int(str(known["chain-id"])), str(known["address"]))
        return domain, str(known["coordinator"])

    def commitment(self) -> TrainReply | None:
        """What was committed in this round."""
        if "digest" not in self._record:
            return None
        found: dict[str, Any] = {name: self._record[name] for name in _FIELDS}
        return TrainReply(**found)

    def reply(self) -> RecordDict:
        """What the app's train replied beside its arrays."""
        kept = {k.removeprefix(_REPLY): r for k, r in self._state.items() if k.startswith(_REPLY)}
        return RecordDict(kept)

    def keep_commitment(self, reply: TrainReply, content: RecordDict) -> None:
        """Remember what was signed, and what the app's train replied, before it is sent."""
        for name in _FIELDS:
            self._record[name] = getattr(reply, name)
        for key in [key for key in self._state if key.startswith(_REPLY)]:
            del self._state[key]
        for key, record in content.items():
            self._state[_REPLY + key] = record

    def proposal(self) -> Proposal | None:
        """What was proposed in this round."""
        if "proposed" not in self._record:
            return None
        members = int.from_bytes(self._record["proposed"], "big")  # type: ignore[arg-type]
        return Proposal(int(str(self._record["round"])), members)

    def keep_proposal(self, proposal: Proposal) -> None:
        """Remember the proposal, before it is signed."""
        self._record["proposed"] = proposal.encode()

    def ballot(self) -> tuple[Ballot, dict[int, str]] | None:
        """The ballot of this round, and why it does not rate whom it does not rate."""
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
