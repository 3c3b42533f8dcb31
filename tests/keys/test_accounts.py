"""Keys stay where they are; signatures are what the contracts take."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from pathlib import Path

import pytest
from eth_account import Account as EthAccount
from eth_account.messages import encode_typed_data
from eth_keyfile import keyfile
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from bcfl.consensus.spec.domain import Commitment, TypedDataDomain
from bcfl.consensus.spec.messages import commitment_message, join_message
from bcfl.core.errors import AccountError, ProtocolError, SealError
from bcfl.keys.accounts import Account, checksummed, derive_account, recover, signed_by
from bcfl.keys.sealing import seal_for, seal_share
from tests.conftest import full_work_factor

KEY = bytes(range(1, 33))
PASSWORD = "a password nobody would guess 8"
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
MESSAGE = join_message(1, bytes(32))


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "member.json"
    Account(KEY).create_key_file(path, PASSWORD)
    return path


def secrets_in(text: str) -> list[str]:
    return [each for each in (KEY.hex(), str(KEY), PASSWORD) if each in text]


def test_the_same_message_gets_the_same_signature_and_no_other():
    account = Account(KEY)
    domain = TypedDataDomain(1, account.address)
    first = commitment_message(domain, Commitment(1, bytes(32), bytes(32), 5))
    other = commitment_message(domain, Commitment(2, bytes(32), bytes(32), 5))
    assert account.sign(first) == account.sign(first)
    assert account.sign(first) != account.sign(other)
    assert recover(first, account.sign(first)) == account.address
    assert not signed_by(other, account.sign(first), account.address)
    assert signed_by(first, account.sign(first), account.address.lower())


def test_a_signature_of_another_chain_or_contract_is_none_here():
    account, commitment = Account(KEY), Commitment(1, bytes(32), bytes(32), 5)
    here = TypedDataDomain(1, account.address)
    signature = account.sign(commitment_message(here, commitment))
    for domain in (
        TypedDataDomain(2, account.address),
        TypedDataDomain(1, derive_account(0, "member", 0).address),
    ):
        assert not signed_by(commitment_message(domain, commitment), signature, account.address)


def test_the_malleable_form_of_a_signature_is_refused():
    signature = Account(KEY).sign(MESSAGE)
    s = ORDER - int.from_bytes(signature[32:64], "big")
    flipped = signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])
    # the curve takes it, for the same signer: only the rule about s keeps it out
    vrs = flipped[64], int.from_bytes(flipped[:32], "big"), s
    typed = encode_typed_data(full_message=MESSAGE)
    assert EthAccount.recover_message(typed, vrs=vrs) == Account(KEY).address
    assert not signed_by(MESSAGE, flipped, Account(KEY).address)
    with pytest.raises(ProtocolError, match="s low"):
        recover(MESSAGE, flipped)


@given(signature=st.binary(max_size=70))
def test_bytes_that_are_no_signature_are_nobodys(signature: bytes):
    assert not signed_by(MESSAGE, signature, Account(KEY).address)


@given(at=st.integers(0, 64), mask=st.integers(1, 255))
def test_a_flipped_bit_is_noticed(at: int, mask: int):
    signature = bytearray(Account(KEY).sign(MESSAGE))
    signature[at] ^= mask
    assert not signed_by(MESSAGE, bytes(signature), Account(KEY).address)


def test_a_key_file_gives_its_account_back(key_file: Path):
    assert Account.from_key_file(key_file, PASSWORD) == Account(KEY)
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert not secrets_in(key_file.read_text())


def test_a_key_file_costs_whoever_guesses_what_the_standard_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(keyfile, "get_default_work_factor_for_kdf", full_work_factor)
    Account(KEY).create_key_file(tmp_path / "key.json", PASSWORD)
    crypto = json.loads((tmp_path / "key.json").read_text())["crypto"]
    assert (crypto["kdf"], crypto["kdfparams"]["n"]) == ("scrypt", 2**18)


def test_the_password_comes_from_the_environment_or_a_file(
    key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\nand a second line\n")
    monkeypatch.setenv("BCFL_KEY_PASSWORD_FILE", str(file))
    assert Account.from_key_file(key_file) == Account(KEY)
    monkeypatch.setenv("BCFL_KEY_PASSWORD", "wrong")
    with pytest.raises(AccountError, match="wrong password"):
        Account.from_key_file(key_file)
    monkeypatch.delenv("BCFL_KEY_PASSWORD")
    monkeypatch.setenv("BCFL_KEY_PASSWORD_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(AccountError, match="cannot read"):
        Account.from_key_file(key_file)
    monkeypatch.delenv("BCFL_KEY_PASSWORD_FILE")
    with pytest.raises(AccountError, match="set BCFL_KEY_PASSWORD"):
        Account.from_key_file(key_file)


def test_a_key_file_is_never_overwritten(key_file: Path):
    before = key_file.read_bytes()
    with pytest.raises(AccountError, match="exists"):
        Account(KEY).create_key_file(key_file, "other")
    assert key_file.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"a": 1}',
        b'{"crypto": 3, "version": 3}',
        b'{"crypto": {}, "version": 3}',
        b'{"crypto": {"kdf": "none"}, "version": 3}',
        b"\xff\xfe",
        b"x" * 100_000,
        json.dumps({"crypto": {"kdf": "pbkdf2", "kdfparams": {}}, "version": 9}).encode(),
    ],
)
def test_what_is_no_key_file_is_named(tmp_path: Path, content: bytes):
    path = tmp_path / "key.json"
    path.write_bytes(content)
    with pytest.raises(AccountError, match=r"key\.json is not an encrypted key file"):
        Account.from_key_file(path, PASSWORD)


def test_a_missing_key_file_is_named(tmp_path: Path):
    with pytest.raises(AccountError, match=r"cannot read the key file .*nowhere"):
        Account.from_key_file(tmp_path / "nowhere", PASSWORD)
    with pytest.raises(AccountError, match="cannot write"):
        Account(KEY).create_key_file(tmp_path / "nowhere" / "key.json", PASSWORD)


@pytest.mark.parametrize("key", [b"", KEY[:31], bytes(32), b"\xff" * 32, KEY.hex()[:-1], "0xzz"])
def test_what_is_no_private_key_is_refused_and_not_repeated(key: bytes | str):
    with pytest.raises(AccountError, match="expected a private key") as caught:
        Account(key)
    shown = "".join(traceback.format_exception(caught.value))
    assert not key or str(key) not in shown.replace("Account(key)", "")


def test_no_secret_is_shown_anywhere(key_file: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    account = Account(KEY)
    shown = [repr(account), str(account), f"{account!r}", repr([account]), repr({"a": account})]
    with pytest.raises(AccountError) as caught:
        Account.from_key_file(key_file, PASSWORD + "!")
    shown += [*traceback.format_exception(caught.value), caplog.text]
    assert not secrets_in("".join(shown))
    assert not hasattr(account, "__dict__")


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_an_account_does_not_travel(copied):
    with pytest.raises(TypeError, match="does not travel"):
        copied(Account(KEY))


def test_development_accounts_follow_from_the_seed():
    first = derive_account(7, "member", 0)
    assert first == derive_account(7, "member", 0)
    others = [derive_account(*a) for a in ((8, "member", 0), (7, "other", 0), (7, "member", 1))]
    assert len({first, *others}) == 4
    # pinned: another derivation would change every transaction number of every run
    assert first.address == "0xa8C10Dcddb7CA65FB84122c8f7b7acCF4ADFCD20"


def test_addresses_are_read_as_people_write_them():
    address = Account(KEY).address
    assert checksummed(address.lower()) == checksummed(address) == address
    wrong = address[:-1] + ("0" if address[-1] != "0" else "1")
    for text in ("", "0x", address[:-1], wrong, "0x" + "g" * 40):
        with pytest.raises(AccountError, match="expected an address"):
            checksummed(text)


def test_an_account_opens_what_is_sealed_to_its_public_key():
    account, other = Account(KEY), derive_account(7, "member", 0)
    assert EthAccount.from_key(KEY).address == account.address
    assert keccak(account.public_key)[-20:].hex() == account.address[2:].lower()
    sealed = seal_for(b"blob", [account.public_key])
    assert account.unseal(sealed) == b"blob"
    share = seal_share(bytes(32), account.public_key)
    assert account.open_share(share) == bytes(32)
    with pytest.raises(SealError):
        other.unseal(sealed)
    with pytest.raises(SealError):
        other.open_share(share)


def test_derived_secrets_are_one_for_each_account_and_purpose():
    account, other = Account(KEY), derive_account(7, "member", 0)
    found = [account.derive_secret(b"a"), account.derive_secret(b"b"), other.derive_secret(b"a")]
    assert found[0] == account.derive_secret(b"a")
    assert len({*found, KEY}) == 4
    assert all(len(secret) == 32 for secret in found)
