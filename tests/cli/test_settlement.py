"""``bcfl settlement``: somebody who is no node doubts a round, and has the bond back."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.cli.main import app
from bcfl.consensus.contract.settlement import SettlementLedger
from bcfl.consensus.spec.rules import Rules
from bcfl.consensus.spec.settlement import Record
from bcfl.keys.accounts import Account, derive_account

RULES = Rules(settlement="optimistic", quorum=2, challenge_window_s=100, bond_wei=10**15)
GENESIS = sha256(b"genesis").digest()


def test_a_round_that_nobody_answers_for_is_void_and_the_bond_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BCFL_KEY_PASSWORD", "pw")
    auditor = Account(bytes(range(1, 33)))
    auditor.create_key_file(tmp_path / "key.json", "pw")
    members = [derive_account(7, "member", i).address for i in range(3)]
    with EmbeddedChain() as chain:
        chain.fund(auditor.address, 10**18)
        connection = chain.connect(chain.coordinator)
        ledger = SettlementLedger.deploy(connection, chain.wait_until, members, GENESIS, RULES)
        ledger.open_round(GENESIS)
        at = ledger.standing().time
        lie = Record(1, bytes(32), GENESIS, bytes(range(32)), 0b1, 0b111, 0b111, 0, at, 0)
        ledger.settle(lie, 0)

        def tell(*words: str) -> str:
            command, *rest = words
            options = ["--rpc", chain.url, "--key-file", str(tmp_path / "key.json")]
            done = CliRunner().invoke(app, ["settlement", command, ledger.address, *rest, *options])
            return f"{done.exit_code} {done.output}"

        assert "1 bcfl: ProtocolError: the contract has not settled round 2" in tell(
            "challenge", "2"
        )
        assert tell("challenge", "1").startswith(f"0 challenge: {auditor.address} in transaction")
        assert "it may be answered still" in tell("convict", "1")
        ledger.wait_until(ledger.now() + 100)
        assert tell("convict", "1").startswith("0 convict")
        assert "the round counts" not in (told := tell("take-back", "1"))
        assert "nobody doubts the round" in told
        before = connection.balance(auditor.address)
        assert tell("withdraw").startswith("0 withdraw")
        assert connection.balance(auditor.address) > before + RULES.bond_wei // 2
        assert ledger.standing().void_from == 1
        assert not ledger.standing().deposited
