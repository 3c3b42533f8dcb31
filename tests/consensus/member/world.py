"""A task with a few members on an embedded chain, played by hand, message by message."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from bcfl.chain.chain import Chain
from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.member.mod import PeerConsensusMod
from bcfl.consensus.records import ReviewOrder, ReviewReply, RoundOrder, TrainReply
from bcfl.consensus.spec.codec import Heading, digest_of, encode_delta
from bcfl.consensus.spec.delta import Delta
from bcfl.consensus.spec.domain import Ballot, Commitment, SignedCommitment
from bcfl.consensus.spec.messages import commitment_message
from bcfl.consensus.spec.rules import Rules
from bcfl.core.model import ModelSpec, model_digest
from bcfl.flower.handlers import to_arrays
from bcfl.keys.accounts import Account, derive_account
from tests import toy

MEMBERS = 3


class World:
    """Chain, contract, and a node a member; ``answer`` sends one node one order."""

    def __init__(self, chain: Chain, members: int = MEMBERS, **rules: Any) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 0
        self.chain = chain
        self.rules = Rules(gamma=0.5, **rules)
        self.accounts = [derive_account(0, "member", i) for i in range(members)]
        self.record = toy.initial_arrays()
        self.arrays = to_arrays(self.record)
        self.spec = ModelSpec.of(self.arrays)
        self.ledger = self.deploy()
        self.contexts = [
            Context(
                run_id=1,
                node_id=10 + i,
                node_config={"partition-id": i, "bcfl-patience-s": 1.0},
                state=RecordDict(),
                run_config={},
            )
            for i in range(members)
        ]

    def deploy(self) -> Ledger:
        return Ledger.deploy(
            self.chain.connect(self.chain.coordinator),
            self.chain.wait_until,
            members=[account.address for account in self.accounts],
            genesis=model_digest(self.arrays),
            rules=self.rules.digest(),
            kappa_ppm=self.rules.kappa_ppm,
            quorum=2,
            commit_window_s=60,
            ballot_window_s=60,
            sealed=self.rules.ballots == "sealed",
            stake=0,
        )

    def open(self) -> None:
        self.ledger.open_round(model_digest(self.arrays), 2 ** len(self.accounts) - 1)

    def round_order(self, **changes: Any) -> RoundOrder:
        order = RoundOrder(
            self.chain.url,
            self.ledger.domain.contract,
            self.ledger.state().round,
            json.dumps(self.rules.to_json()),
            0,
            False,
        )
        return replace(order, **changes)

    def answer(self, member: int, order: Any, mods: list[Any] | None = None) -> Message:
        kind = "train" if isinstance(order, RoundOrder) else "evaluate"
        content = RecordDict(
            {
                "arrays": self.record,
                "config": ConfigRecord({"server-round": 1}),
                "bcfl": order.to_record(),
            }
        )
        app = toy.client_app(mods or [PeerConsensusMod()])
        return app(Message(content, 10 + member, kind), self.contexts[member])

    def train(self, member: int, **changes: Any) -> TrainReply:
        return TrainReply.read(self.answer(member, self.round_order(**changes)).content)

    def signed(self, member: int, blob: bytes) -> SignedCommitment:
        state = self.ledger.state()
        commitment = Commitment(state.round, state.model, digest_of(blob), self.ledger.now())
        signature = self.accounts[member].sign(commitment_message(self.ledger.domain, commitment))
        return SignedCommitment(member, commitment, signature)

    def forget(self, member: int) -> None:
        """As Flower does when another run begins, or a node starts anew."""
        self.contexts[member].state = RecordDict()

    def blob_of(self, author: Account, round_: int, values: float = 0.1) -> bytes:
        k = self.rules.kept(self.spec.n, round_)
        delta = Delta(self.spec.n, np.arange(k), np.full(k, values, np.float32))
        heading = Heading(bytes.fromhex(author.address[2:]), round_, self.ledger.state().model)
        return encode_delta(delta, heading)

    def commit(self, blobs: dict[int, bytes]) -> str:
        return self.ledger.commit([self.signed(m, blob) for m, blob in blobs.items()]).hash

    def review_order(self, transaction: str, blobs: dict[int, bytes]) -> ReviewOrder:
        order = self.round_order()
        return ReviewOrder(
            order.rpc_url,
            order.contract,
            order.round,
            order.rules,
            order.seed,
            order.direct,
            members=list(blobs),
            transactions=[transaction] * len(blobs),
            blobs=list(blobs.values()),
        )

    def review(self, member: int, order: ReviewOrder) -> tuple[Ballot, dict[int, str]]:
        reply = ReviewReply.read(self.answer(member, order).content)
        rejected = dict(zip(reply.rejected, reply.reasons, strict=True))
        return Ballot.decode(order.round, reply.entries), rejected
