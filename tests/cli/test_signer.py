"""``bcfl signer`` as its own process, killed and started anew."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.contract.events import Committed
from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.spec.domain import Commitment
from bcfl.consensus.spec.messages import commitment_message
from bcfl.core.errors import SignedAlready
from bcfl.keys.accounts import Account, derive_account
from bcfl.keys.signer_client import RemoteSigner


def test_it_remembers_when_it_is_killed_and_sends_by_itself_what_the_server_does_not(
    tmp_path: Path,
) -> None:
    account = Account(bytes(range(1, 33)))
    account.create_key_file(tmp_path / "key.json", "pw")
    with EmbeddedChain() as chain:
        chain.fund(account.address, 10**18)
        members = [account.address, derive_account(7, "member", 1).address]
        server = Ledger.deploy(
            chain.connect(chain.coordinator), chain.wait_until, members=members,
            genesis=bytes(32), rules=bytes(32), kappa_ppm=500_000, quorum=2, commit_window_s=60,
            ballot_window_s=60, sealed=False, stake=0,
        )  # fmt: skip
        server.open_round(bytes(32), 3)
        domain, now = server.domain, server.now()
        first, second = (
            commitment_message(domain, Commitment(1, bytes(32), bytes([digest]) * 32, now))
            for digest in (1, 2)
        )
        command = [
            sys.executable, "-c", "from bcfl.cli.main import main; main()", "signer",
            "--key", str(tmp_path / "key.json"), "--rpc", chain.url,
            "--chain-id", str(domain.chain_id), "--contract", domain.contract,
        ]  # fmt: skip
        environment = {**os.environ, "BCFL_KEY_PASSWORD": "pw"}
        for more in ([], ["--direct-fallback"]):
            pipe = subprocess.PIPE
            with subprocess.Popen(
                [*command, *more], env=environment, stdout=pipe, stderr=pipe, text=True
            ) as process:
                try:
                    assert process.stdout is not None
                    assert process.stderr is not None
                    process.stdout.readline()
                    where = process.stdout.readline().removeprefix("listening: ").strip()
                    signer = RemoteSigner(where)
                    assert signer.sign(first) == account.sign(first)
                    with pytest.raises(SignedAlready):
                        signer.sign(second)
                    assert "SignedAlready" in process.stderr.readline()
                    if more:
                        chain.travel(server.state().commit_deadline - 20)
                        assert "sent the commitment of round 1" in process.stderr.readline()
                finally:
                    process.terminate() if more else process.kill()
        committed = [event for event in server.events() if isinstance(event, Committed)]
        assert [(event.member, event.digest) for event in committed] == [(0, bytes([1]) * 32)]
    assert not (tmp_path / "key.json.sock").exists()


def test_a_wrong_chain_is_told(tmp_path: Path) -> None:
    Account(bytes(range(1, 33))).create_key_file(tmp_path / "key.json", "pw")
    with EmbeddedChain() as chain:
        done = subprocess.run(
            [
                sys.executable, "-c", "from bcfl.cli.main import main; main()", "signer",
                "--key", str(tmp_path / "key.json"), "--rpc", chain.url, "--chain-id", "1",
            ],
            env={**os.environ, "BCFL_KEY_PASSWORD": "pw"},
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert "expected the node of chain 1" in done.stderr
