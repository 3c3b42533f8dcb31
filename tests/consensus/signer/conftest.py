from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.signer.allowance import Allowance
from bcfl.consensus.signer.member_signer import MemberSigner
from bcfl.consensus.signer.record import SigningRecord, record_path
from bcfl.consensus.signer.service import SignerService
from bcfl.consensus.signer.task import connect
from bcfl.consensus.spec.domain import Commitment
from bcfl.consensus.spec.messages import commitment_message
from bcfl.consensus.spec.rules import Rule
from bcfl.keys.accounts import derive_account
from bcfl.keys.signer_client import RemoteSigner
from bcfl.keys.signer_wire import Endpoint

STAKE = 10**18


class Task:
    """An open round of a task with a stake, and signers of its first member."""

    def __init__(
        self,
        chain: EmbeddedChain,
        folder: Path,
        stack: ExitStack,
        stake: int,
        *,
        sealed: bool = False,
        rule: Rule = "borda",
    ) -> None:
        self.chain, self.folder, self._stack = chain, folder, stack
        self.account, self.other = (derive_account(7, "member", i) for i in range(2))
        for account in (self.account, self.other):
            chain.fund(account.address, 5 * STAKE)
        self.server = Ledger.deploy(
            chain.connect(chain.coordinator),
            chain.wait_until,
            members=[] if stake else [self.account.address, self.other.address],
            genesis=bytes(32),
            rules=bytes(32),
            kappa_ppm=500_000,
            quorum=2,
            commit_window_s=60,
            ballot_window_s=60,
            sealed=sealed,
            rule=rule,
            stake=stake,
        )
        self.contract = self.server.domain.contract
        self.key = folder / "key.json"

    def open(self) -> None:
        self.server.open_round(bytes(32), 3)

    def signer(self, *, contract: str | None = "", **allowance: Any) -> RemoteSigner:
        return self.start(contract=contract, **allowance)[0]

    def start(
        self, *, contract: str | None = "", **allowance: Any
    ) -> tuple[RemoteSigner, ExitStack]:
        stack = self._stack.enter_context(ExitStack())
        record = stack.enter_context(SigningRecord(record_path(self.key), self.account.address))
        node = stack.enter_context(connect(self.chain.url, self.server.domain.chain_id))
        named = self.contract if contract == "" else contract
        signer = MemberSigner(self.account, node, named, record, Allowance(**allowance))
        self.member_signer = signer
        path = self.folder / "s.sock"
        service = stack.enter_context(SignerService(signer, Endpoint(path)))
        thread = threading.Thread(target=service.serve)
        thread.start()
        stack.callback(thread.join)
        stack.callback(service.shut_down)
        return RemoteSigner(f"unix:{path}"), stack

    def commitment(self, digest: int = 1, **changes: Any) -> dict[str, Any]:
        state = self.server.state()
        values = {"round": state.round, "base": state.model, "timestamp": self.server.now()}
        said = Commitment(**{**values, "digest": bytes([digest]) * 32, **changes})
        return commitment_message(self.server.domain, said)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def task(stack: ExitStack, tmp_path: Path) -> Task:
    return Task(stack.enter_context(EmbeddedChain()), tmp_path, stack, stake=0)


@pytest.fixture
def stake_task(stack: ExitStack, tmp_path: Path) -> Task:
    return Task(stack.enter_context(EmbeddedChain()), tmp_path, stack, stake=STAKE)
