"""Public keys: recovered from signatures, and kept for members that are away."""

from __future__ import annotations

from pathlib import Path

import pytest

from bcfl.consensus.spec.messages import join_message
from bcfl.core.errors import AuditError, ProtocolError, SealError
from bcfl.keys.accounts import Account, recover_public_key
from bcfl.keys.public_keys import PublicKeys, address_of

ANA, BEN = Account(b"\1" * 32), Account(b"\2" * 32)
WORDS = join_message(1, b"challenge".ljust(32))


@pytest.mark.parametrize("account", [ANA, BEN])
def test_a_signature_gives_its_signers_public_key(account: Account) -> None:
    key = recover_public_key(WORDS, account.sign(WORDS))
    assert key == account.public_key
    assert address_of(key) == address_of(b"\4" + key) == account.address


def test_what_is_no_signature_gives_no_key() -> None:
    with pytest.raises(ProtocolError, match="65 bytes"):
        recover_public_key(WORDS, b"short")


@pytest.mark.parametrize("key", [b"", b"\xff" * 64, bytes(33)])
def test_what_is_no_point_of_the_curve_has_no_address(key: bytes) -> None:
    with pytest.raises(SealError, match="no point of the curve"):
        address_of(key)


def test_keys_are_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = PublicKeys(path)
    keys.add(ANA.public_key)
    keys.add(ANA.public_key)
    assert PublicKeys(path).of([BEN.address, ANA.address]) == [ANA.public_key]
    PublicKeys(path).add(BEN.public_key)
    assert PublicKeys(path).of([BEN.address]) == [BEN.public_key]


@pytest.mark.parametrize(
    "text",
    ["[]", "{", '{"0x00": "zz"}', f'{{"{BEN.address}": "{ANA.public_key.hex()}"}}'],
    ids=["list", "broken", "no key", "another's"],
)
def test_a_file_of_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(AuditError, match="expected public keys by address"):
        PublicKeys(path)
