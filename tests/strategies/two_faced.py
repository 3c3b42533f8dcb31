"""A member that signs two deltas for one round."""

from __future__ import annotations

from typing import Any

from flwr.clientapp import ClientApp

from bcfl.consensus.spec.domain import Commitment, SignedCommitment
from bcfl.consensus.spec.messages import commitment_message
from bcfl.flower.grid import InProcessGrid
from bcfl.keys.accounts import derive_account
from bcfl.strategies import PeerConsensus


class TwoFaced(InProcessGrid):
    """Tells the server, before the cheat's reply arrives, of another delta that it signed."""

    def __init__(self, app: ClientApp, clients: int, cheat: int) -> None:
        super().__init__(app, clients)
        self._cheat = cheat
        self.strategy: PeerConsensus | None = None

    def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> Any:
        replies = list(super().send_and_receive(list(messages), timeout=timeout))
        partitions = {node: c.node_config["partition-id"] for node, c in self.contexts.items()}
        for reply in replies:
            record = reply.content.config_records.get("bcfl", {}) if reply.has_content() else {}
            cheats = partitions[reply.metadata.src_node_id] == self._cheat
            if cheats and record.get("kind") == "trained":
                self._tell(record)
        return replies

    def _tell(self, record: Any) -> None:
        assert self.strategy is not None
        coordinator = self.strategy.coordinator
        state = coordinator.ledger.state()
        account = derive_account(0, "member", self._cheat)
        commitment = Commitment(state.round, state.model, b"\7" * 32, record["timestamp"])
        message = commitment_message(coordinator.ledger.domain, commitment)
        other = SignedCommitment(self._cheat, commitment, account.sign(message))
        coordinator.signed.keep_commitment(other, {})
