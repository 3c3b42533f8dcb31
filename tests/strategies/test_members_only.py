"""``encrypt=True``: the same run, and nothing of it for whoever only has the blob store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Message

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.consensus.member.mod import PeerConsensusMod, peer_consensus_mod
from bcfl.consensus.spec.record import RoundRecord
from bcfl.consensus.task_folder import TaskFolder
from bcfl.core.errors import ConfigurationError, NotAReader
from bcfl.flower.grid import InProcessGrid
from bcfl.flower.identity import signer_from
from bcfl.keys.accounts import Account, derive_account
from bcfl.store.local import LocalStore
from bcfl.store.sealed import SEALED_INDEX, SealedStore
from tests import toy
from tests.strategies.test_peer_consensus import run
from tests.strategies.test_resume import Killed, play

LARGEST = 10_000


def opened(folder: Path, reader: Account) -> SealedStore:
    """The blobs of a run, for whoever has its folder and a key."""
    return SealedStore(LocalStore(folder / "blobs"), reader, tuple, index=folder / SEALED_INDEX)


def committed(folder: Path, round_: int = 1) -> list[bytes]:
    """The digests of a round's deltas, in the order in which they came."""
    return [
        bytes.fromhex(entry["digest"])
        for entry in TaskFolder(folder).journal
        if (entry["kind"], entry["round"]) == ("commitment", round_)
    ]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[RoundRecord]]]:
    found = {}
    for name in ("plain", "sealed"):
        folder = tmp_path_factory.mktemp(name)
        found[name] = folder / "run", run(folder, encrypt=name == "sealed")[1]
    return found


Runs = dict[str, tuple[Path, list[RoundRecord]]]


def test_a_sealed_run_is_the_plain_one_on_chain(runs: Runs) -> None:
    plain, sealed = runs["plain"][1], runs["sealed"][1]
    assert [r.model for r in sealed] == [r.model for r in plain]
    assert [r.transactions for r in sealed] == [r.transactions for r in plain]
    assert [r.ballots for r in sealed] == [r.ballots for r in plain]
    assert not any(r.left_out or r.rejected for r in sealed)


def test_no_file_of_the_store_holds_a_piece_of_any_blob(runs: Runs) -> None:
    plain = [path.read_bytes() for path in (runs["plain"][0] / "blobs").glob("*/*")]
    sealed = [path.read_bytes() for path in (runs["sealed"][0] / "blobs").glob("*/*")]
    assert len(sealed) == len(plain) == 11, "one model, and five deltas in each of two rounds"
    model = bytes.fromhex(runs["plain"][1][0].base)  # a delta names it, and so does the chain
    secret = [blob.replace(model, b"") for blob in plain]
    pieces = {blob[at : at + 12] for blob in secret for at in range(len(blob) - 11)}
    hidden = {file[at : at + 12] for file in sealed for at in range(len(file) - 11)}
    assert len(pieces) > 300
    assert not pieces & hidden
    assert all(file.startswith(b"bcfs\x01") for file in sealed)


def test_every_member_and_the_coordinator_read_and_a_stranger_does_not(runs: Runs) -> None:
    folder = runs["sealed"][0]
    digests = committed(folder)
    assert len(digests) == 5
    plain = LocalStore(runs["plain"][0] / "blobs")
    readers = [derive_account(0, "member", i) for i in range(5)]
    for reader in (*readers, derive_account(0, "coordinator", 0)):
        for digest in digests:
            assert opened(folder, reader).get(digest, LARGEST) == plain.get(digest, LARGEST)
    stranger = opened(folder, derive_account(0, "member", 5))
    with pytest.raises(NotAReader, match="sealed to 6 readers, and this key is none of them"):
        stranger.get(digests[0], LARGEST)


def test_who_joins_later_reads_from_then_on(tmp_path: Path) -> None:
    grid = InProcessGrid(toy.client_app([peer_consensus_mod]), 4)
    late = dict([grid.contexts.popitem()])
    _, records = run(
        tmp_path,
        clients=3,
        grid=grid,
        rounds=3,
        encrypt=True,
        on_phase=lambda round_, phase: grid.contexts.update(late) if round_ == 2 else None,
    )
    assert [len(record.committed) for record in records] == [3, 3, 4]
    assert not any(record.rejected for record in records)
    newcomer = opened(tmp_path / "run", derive_account(0, "member", 3))
    for digest in committed(tmp_path / "run", 2):
        with pytest.raises(NotAReader):
            newcomer.get(digest, LARGEST)
    for digest in committed(tmp_path / "run", 3):
        assert newcomer.get(digest, LARGEST)


@pytest.mark.parametrize("phase", ["train", "review", "aggregate"])
def test_a_killed_server_goes_on_with_what_it_had_sealed(tmp_path: Path, phase: str) -> None:
    undisturbed = play(tmp_path / "one")
    with pytest.raises(Killed):
        play(tmp_path / "two", kill=(2, phase), encrypt=True)
    resumed = play(tmp_path / "two", resume=True, encrypt=True)
    assert [r.model for r in resumed] == [r.model for r in undisturbed]
    assert resumed[-1].ballots == undisturbed[-1].ballots


def test_a_blob_that_was_exchanged_meanwhile_is_not_aggregated(tmp_path: Path) -> None:
    def exchange(number: int, phase: str) -> None:
        if phase == "review":
            index = tmp_path / "run" / SEALED_INDEX
            one, other = (index / d.hex()[:2] / d.hex() for d in committed(tmp_path / "run")[:2])
            one.write_text(other.read_text())

    _, (record,) = run(tmp_path, rounds=1, encrypt=True, on_phase=exchange)
    first = committed(tmp_path / "run")[0]
    assert f"expected bytes that hash to {first.hex()}" in record.left_out[0]
    assert all(0 not in ballot for ballot in record.ballots.values())


class SignsOnly:
    """A wallet whose key is in a device that signs, and does nothing else."""

    def __init__(self, account: Account) -> None:
        self.address = account.address
        self.sign = account.sign
        self.sign_transaction = account.sign_transaction


def test_a_signer_that_cannot_open_what_is_sealed_is_told_so(tmp_path: Path) -> None:
    def signer_of(context: Context) -> Any:
        account = signer_from(context, 0)
        return SignsOnly(account) if context.node_config["partition-id"] == 2 else account

    app = toy.client_app([PeerConsensusMod(signer_of)])
    _, (record,) = run(tmp_path, rounds=1, app=app, encrypt=True)
    assert record.committed == (0, 1, 3, 4)
    assert "can sign but not open what is sealed" in record.left_out[2]


def test_who_sends_its_delta_unsealed_is_left_out(tmp_path: Path) -> None:
    def careless(message: Message, context: Context, call_next: Any) -> Message:
        record = message.content.config_records.get("bcfl", {})
        if context.node_config["partition-id"] == 1:
            record.pop("readers", None)
        return call_next(message, context)

    app = toy.client_app([careless, peer_consensus_mod])
    _, (record,) = run(tmp_path, rounds=1, app=app, encrypt=True)
    assert record.committed == (0, 2, 3, 4)
    assert "was it sealed at all" in record.left_out[1]


def test_a_coordinator_that_cannot_open_anything_is_refused(tmp_path: Path) -> None:
    class Remote(EmbeddedChain):
        @property
        def coordinator(self) -> Any:
            return SignsOnly(super().coordinator)

    with pytest.raises(ConfigurationError, match="key is in a key file"):
        run(tmp_path, encrypt=True, chain=Remote())
