"""Sealed blobs open for their readers and nobody else, and never to two different things."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Callable

import ecies
import pytest
from ecies.config import Config
from eth_account import Account
from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from bcfl.core.errors import SealError
from bcfl.keys import envelope
from bcfl.keys.sealing import (
    MAX_OVERHEAD_BYTES,
    check_share,
    decrypt_model,
    encrypt_model,
    open_sealed,
    open_share,
    public_key_of,
    seal_for,
    seal_share,
    secret_commitment,
)

KEYS = [bytes([n]) * 32 for n in range(1, 6)]
ANA, BEN, CEM, DEE, EVE = KEYS
BLOB = b"a model that somebody paid for" * 20
SHARED, SECRET = b"h" * 32, b"s" * 32


def readers(*private_keys: bytes) -> list[bytes]:
    return [public_key_of(key) for key in private_keys]


SEALED = seal_for(BLOB, readers(ANA, BEN))
MODEL = encrypt_model(BLOB, SHARED, SECRET)
SHARE = seal_share(SHARED, public_key_of(ANA))


def test_every_reader_opens_it_and_a_stranger_does_not() -> None:
    sealed = seal_for(BLOB, readers(ANA, BEN, CEM))
    assert [open_sealed(sealed, key) for key in (ANA, BEN, CEM)] == [BLOB] * 3
    with pytest.raises(SealError, match="sealed to 3 readers, and this key is none of them"):
        open_sealed(sealed, EVE)


def test_slots_are_eciespys() -> None:
    theirs = Config(
        is_ephemeral_key_compressed=True, is_hkdf_key_compressed=True, symmetric_nonce_length=12
    )
    for key in KEYS:
        reader = envelope.compressed_key(public_key_of(key))
        for slot in (
            envelope.seal_slot(SHARED, reader),
            envelope.repeatable_slot(SHARED, reader, b"info"),
        ):
            assert ecies.decrypt(key, slot, theirs) == SHARED
        assert envelope.open_slot(ecies.encrypt(reader, SECRET, theirs), key) == SECRET


def test_a_stranger_finds_no_piece_of_the_blob() -> None:
    sealed = seal_for(BLOB, readers(ANA))
    assert not any(BLOB[at : at + 8] in sealed for at in range(len(BLOB) - 8))
    assert seal_for(BLOB, readers(ANA))[-200:] != sealed[-200:]


@given(st.binary(max_size=300), st.lists(st.sampled_from(KEYS), min_size=1, unique=True))
def test_any_blob_for_any_readers(blob: bytes, keys: list[bytes]) -> None:
    sealed = seal_for(blob, readers(*keys))
    assert all(open_sealed(sealed, key) == blob for key in keys)
    assert len(sealed) <= len(blob) + MAX_OVERHEAD_BYTES


def test_keys_are_those_of_ethereum_in_any_spelling() -> None:
    account = Account.from_key(ANA)
    key = PrivateKey(ANA).public_key
    assert public_key_of(ANA) == b"\x04" + key.to_bytes()
    assert key.to_checksum_address() == account.address
    spellings = [key.to_bytes(), key.to_compressed_bytes(), public_key_of(ANA)]
    for spelling in spellings:
        assert open_sealed(seal_for(BLOB, [spelling]), bytes(account.key)) == BLOB
    assert len(seal_for(BLOB, spellings)) == len(seal_for(BLOB, spellings[:1]))


def test_as_many_readers_as_a_task_may_have_members() -> None:
    many = [(n + 1).to_bytes(32, "big") for n in range(257)]
    sealed = seal_for(BLOB, readers(*many[:256]))
    assert len(sealed) == len(BLOB) + MAX_OVERHEAD_BYTES
    assert open_sealed(sealed, many[255]) == BLOB
    with pytest.raises(SealError, match="1 to 256 recipients; found 257"):
        seal_for(BLOB, readers(*many))
    with pytest.raises(SealError, match="1 to 256 recipients; found 0"):
        seal_for(BLOB, [])


@pytest.mark.parametrize("key", [b"", bytes(32), b"\xff" * 32, b"k" * 31, b"k" * 33])
def test_what_is_no_private_key_is_refused_and_not_shown(key: bytes) -> None:
    calls: list[Callable[[bytes, bytes], bytes]] = [open_sealed, open_share]
    for sealed, call in zip([SEALED, SHARE], calls, strict=True):
        with pytest.raises(SealError, match="private key") as caught:
            call(sealed, key)
        assert not key or key.hex() not in str(caught.value)
        assert repr(key) not in str(caught.value)


@pytest.mark.parametrize("key", [b"", b"k" * 64, b"\x02" + b"\xff" * 32, b"\x04" + bytes(64)])
def test_what_is_no_public_key_is_refused(key: bytes) -> None:
    with pytest.raises(SealError, match="expected a secp256k1 public key"):
        seal_for(BLOB, [public_key_of(ANA), key])


def test_a_blob_beyond_the_cipher_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "MAX_SEALED_BYTES", len(BLOB) + 50)
    with pytest.raises(SealError, match="less than 2 GiB; found 600 bytes"):
        seal_for(BLOB, readers(ANA))
    with pytest.raises(SealError, match="less than 2 GiB; found 600 bytes"):
        encrypt_model(BLOB, SHARED, SECRET)


# --- what an attacker may send ------------------------------------------------------------

OPENERS: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "readers": (SEALED, lambda sealed: open_sealed(sealed, ANA)),
    "model": (MODEL, lambda sealed: decrypt_model(sealed, SHARED, SECRET)),
    "share": (SHARE, lambda share: open_share(share, ANA)),
}
KINDS = st.sampled_from(sorted(OPENERS))


@pytest.mark.parametrize("kind", sorted(OPENERS))
def test_every_single_changed_bit_is_noticed(kind: str) -> None:
    sealed, open_it = OPENERS[kind]
    open_it(sealed)
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1 << at % 8
        with pytest.raises(SealError):
            open_it(bytes(changed))


@pytest.mark.parametrize("kind", sorted(OPENERS))
def test_every_truncation_is_noticed(kind: str) -> None:
    sealed, open_it = OPENERS[kind]
    for end in range(len(sealed)):
        with pytest.raises(SealError):
            open_it(sealed[:end])
    with pytest.raises(SealError):
        open_it(sealed + b"\0")


@given(KINDS, st.data())
def test_mutated_containers_raise_nothing_but_seal_errors(kind: str, data: st.DataObject) -> None:
    sealed, open_it = OPENERS[kind]
    changed = bytearray(sealed)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(changed)))
        end = start + data.draw(st.integers(0, 120))
        changed[start:end] = data.draw(st.binary(max_size=120))
    if bytes(changed) != sealed:
        with pytest.raises(SealError):
            open_it(bytes(changed))


@given(KINDS, st.sampled_from([b"", b"bcfs\x01", b"bcfm\x01", b"\x01"]), st.binary(max_size=400))
def test_garbage_raises_nothing_but_seal_errors(kind: str, magic: bytes, rest: bytes) -> None:
    with pytest.raises(SealError):
        OPENERS[kind][1](magic + rest)


def test_a_container_that_claims_much_takes_no_memory() -> None:
    claims = b"bcfs\x01" + b"\xff\xff" + bytes(32) + bytes(1000)
    tracemalloc.start()
    with pytest.raises(SealError, match="1 to 256 readers; found 65535"):
        open_sealed(claims, ANA)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def test_what_is_not_sealed_is_told_from_what_is() -> None:
    with pytest.raises(SealError, match=r"sealed blob of version 1; found .*begin with 61206d6f64"):
        open_sealed(BLOB, ANA)
    with pytest.raises(SealError, match="sealed model of version 1"):
        decrypt_model(SEALED, SHARED, SECRET)


def test_readers_out_of_order_or_twice_are_refused() -> None:
    first, entry = 39, 109
    one, other = SEALED[first : first + entry], SEALED[first + entry : first + 2 * entry]
    for entries in (other + one, one + one):
        with pytest.raises(SealError, match="ascending order"):
            open_sealed(SEALED[:first] + entries + SEALED[first + 2 * entry :], ANA)


def test_no_sealer_can_show_two_readers_two_blobs() -> None:
    # AES-GCM alone does not stop this; a body under a wrong digest stands for any such trick
    head = b"bcfm\x01" + hashlib.sha256(b"the good model").digest()
    key = envelope.derive(SHARED + SECRET, b"bcfl model 1", 32)
    with pytest.raises(SealError, match="do not hold the blob that they name"):
        decrypt_model(envelope.seal_body(key, head, b"the bad model"), SHARED, SECRET)


# --- the marketplace's key in two parts -----------------------------------------------------


def test_a_model_opens_with_both_parts_and_with_nothing_less() -> None:
    assert decrypt_model(MODEL, SHARED, SECRET) == BLOB
    for shared, secret in [(SECRET, SHARED), (SHARED, SHARED), (bytes(32), SECRET)]:
        with pytest.raises(SealError, match="does not open"):
            decrypt_model(MODEL, shared, secret)
    for part in (b"", b"s" * 31):
        with pytest.raises(SealError, match="secret is 32 bytes long"):
            decrypt_model(MODEL, SHARED, part)


def test_the_commitment_is_the_contracts_keccak() -> None:
    assert secret_commitment(SECRET) == keccak(SECRET)
    assert secret_commitment(bytes(32)).hex() == (
        "290decd9548b62a8d60345a988386fc84ba6bc95484008f6362f93160ef3e563"
    )
    with pytest.raises(SealError, match="secret is 32 bytes long; found 3"):
        secret_commitment(b"abc")


def test_initiator_and_verifier_see_what_payment_will_disclose() -> None:
    initiator, verifier, contributor_secret = ANA, BEN, SECRET
    sealed = encrypt_model(BLOB, SHARED, contributor_secret)
    share = seal_share(SHARED, public_key_of(initiator))
    on_chain = secret_commitment(contributor_secret)
    for_verifiers = seal_for(SHARED + contributor_secret, readers(verifier, CEM))

    both = open_sealed(for_verifiers, verifier)
    shared, secret = both[:32], both[32:]
    assert secret_commitment(secret) == on_chain
    assert check_share(share, shared, public_key_of(initiator))
    assert decrypt_model(sealed, shared, secret) == BLOB

    assert decrypt_model(sealed, open_share(share, initiator), contributor_secret) == BLOB


def test_a_verifier_catches_a_share_that_would_not_open() -> None:
    initiator = public_key_of(ANA)
    another_shared = seal_share(bytes(32), initiator)
    another_reader = seal_share(SHARED, public_key_of(EVE))
    by_hand = b"\x01" + envelope.seal_slot(SHARED, initiator)
    for share in (another_shared, another_reader, by_hand, SHARE[:-1], b""):
        assert not check_share(share, SHARED, initiator)
    assert check_share(seal_share(SHARED, initiator), SHARED, initiator)
    with pytest.raises(SealError, match="not to what a verifier can check"):
        open_share(by_hand, ANA)
    with pytest.raises(SealError, match="does not open what was sealed to it"):
        open_share(another_reader, ANA)


def test_shares_of_one_secret_to_two_readers_have_nothing_in_common() -> None:
    one, other = (seal_share(SHARED, public_key_of(key)) for key in (ANA, BEN))
    assert len(one) == 94
    assert one[1:34] != other[1:34]
    assert one[34:46] != other[34:46]


# --- golden bytes: what was sealed yesterday opens tomorrow ---------------------------------


def test_golden_share() -> None:
    assert seal_share(SHARED, public_key_of(ANA)).hex() == GOLDEN_SHARE


def test_golden_containers_open() -> None:
    assert open_sealed(bytes.fromhex(GOLDEN_SEALED), ANA) == b"golden"
    assert open_sealed(bytes.fromhex(GOLDEN_SEALED), BEN) == b"golden"
    assert decrypt_model(bytes.fromhex(GOLDEN_MODEL), SHARED, SECRET) == b"golden"


GOLDEN_SHARE = (
    "010213c7cb5df8d7b78437828289927e3018cf01175f4b24cd557e3edf17c35802a6d3f38ee0d460"
    "00d5c4491d7073145f27a3ccd4dbc2ab35a4bee9ef3ce4720b96b1957af00f5bf3ed53b9b86438cc"
    "2f305504e812bf8cb2038c7e7458"
)
GOLDEN_SEALED = (
    "62636673010200dd56de4137951d9c92681b03416ec15f886b4482a27e3a517d32f085244cbe5d80"
    "a9f99957b29af20338037cf06360bc03fa02701bd33713fe8ede010a704d091af425a21f2b18900f"
    "201d800b31abca6f411e65a85266ce4b51fcb407a4d3a206836f5f98ad39926779d41a6ebe18e3b7"
    "92f60eb56a888b2f0cf436cc31221d0843bf241991bb31e208f8c18bf1d12012406b87afb27f6dd1"
    "6ac0a76f03994c17af41e5e005a2852cd174d43354b6cffc4bb71625f6bf1955807450c842f0ee15"
    "64c6464581b2591f03815272b1597e8c8b7f88ddb91fc6ac77676fae9119a5945d11bd47497dd5b9"
    "8122c14eff221d164a8a590bb2c7849fe17977ed7e1b698f602865baaf3715e5ad082a479fabbb4f"
    "2ce8e2e0b912796ed7975d"
)
GOLDEN_MODEL = (
    "6263666d01dd56de4137951d9c92681b03416ec15f886b4482a27e3a517d32f085244cbe5d265e9a"
    "03841646be5e1d54b041869dce4c1208826a27e1d92eaf61e937f1f4a71e7c"
)
