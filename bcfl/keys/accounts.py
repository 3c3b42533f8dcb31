"""Ethereum accounts whose key is in this process: key files, development keys, signatures.

A key never leaves an :class:`Account`: it is in no repr, no error and no pickle.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from eth_keys.datatypes import PrivateKey, PublicKey, Signature
from eth_keys.exceptions import BadSignature
from eth_utils.address import is_address, is_checksum_address, to_checksum_address
from eth_utils.exceptions import ValidationError

from bcfl.core.errors import AccountError, ProtocolError
from bcfl.keys.envelope import derive, open_slot, public_key_of
from bcfl.keys.sealing import open_sealed, open_share
from bcfl.keys.typed_data import signed_hash

if TYPE_CHECKING:
    from eth_account import Account as EthAccount

#: Chain ids on which nothing is worth anything: the embedded chain's, and anvil's default.
DEVELOPMENT_CHAINS = (131277322940537, 31337)
PASSWORD_VARIABLE = "BCFL_KEY_PASSWORD"  # noqa: S105 — a name, not a password
PASSWORD_FILE_VARIABLE = "BCFL_KEY_PASSWORD_FILE"  # noqa: S105

#: The order of secp256k1; s above its half is the other, malleable form of a signature.
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
#: A key file is some 500 bytes. What is much longer is something else.
_MAX_KEY_FILE_BYTES = 64 * 1024
#: What eth-keyfile raises for a file that only looks like one of its own.
_KEY_FILE_TROUBLE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    NotImplementedError,
    MemoryError,
)


class Account:
    """An account whose private key is held in memory: signer, wallet and reader.

    Parameters
    ----------
    private_key : bytes or str
        32 bytes, or their hexadecimal form.

    Raises
    ------
    AccountError
        It is no private key. The message does not repeat it.
    """

    __slots__ = ("__key", "address")

    def __init__(self, private_key: bytes | str) -> None:
        self.__key = PrivateKey(_checked_key(private_key))
        self.address: str = self.__key.public_key.to_checksum_address()  #: checksummed

    @classmethod
    def from_key_file(cls, path: Path | str, password: str | None = None) -> Account:
        """Open an encrypted key file (the Web3 secret storage format, version 3).

        Parameters
        ----------
        path : Path
            The file, as ``create_key_file``, geth or eth-account write it.
        password : str, optional
            Left out: the environment's ``BCFL_KEY_PASSWORD``, else the first line of the file
            that ``BCFL_KEY_PASSWORD_FILE`` names.

        Raises
        ------
        AccountError
            There is no such file, it is no key file, no password was given, or a wrong one.
        """
        path = Path(path)
        keystore = _read_keystore(path)
        secret = _password() if password is None else password
        try:
            key = _eth_account().decrypt(keystore, secret)
        except _KEY_FILE_TROUBLE as error:
            if "MAC" in str(error):
                raise AccountError(
                    f"wrong password for the key file {path}; give it in {PASSWORD_VARIABLE}, "
                    f"or in a file named by {PASSWORD_FILE_VARIABLE}"
                ) from None
            raise _no_key_file(path) from None
        return cls(bytes(key))

    def create_key_file(self, path: Path | str, password: str) -> None:
        """Write the key, encrypted, to a new file that only its owner may read.

        Raises
        ------
        AccountError
            The file exists (a key file is never overwritten) or cannot be written.
        """
        keystore = json.dumps(_eth_account().encrypt(self._key, password))
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(keystore)
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            raise AccountError(f"{path} exists; a key file is never overwritten") from None
        except OSError as error:
            raise AccountError(f"cannot write the key file {path}: {error.strerror}") from None

    def sign(self, message: dict[str, Any]) -> bytes:
        """65 bytes, r ‖ s ‖ v, of an EIP-712 ``full_message``; the same every time (RFC 6979)."""
        signature = self.__key.sign_msg_hash(signed_hash(message)).to_bytes()
        return signature[:64] + bytes([27 + signature[64]])

    @property
    def public_key(self) -> bytes:
        """64 bytes, x ‖ y: what others seal to, and what the address is a hash of."""
        return public_key_of(self._key)[1:]

    def unseal(self, sealed: bytes) -> bytes:
        """What was sealed to this account. Raises as ``bcfl.keys.sealing.open_sealed``."""
        return open_sealed(sealed, self._key)

    def open_share(self, share: bytes) -> bytes:
        """The 32 bytes that a share seals to this account; see ``bcfl.keys.sealing``."""
        return open_share(share, self._key)

    def open_slot(self, slot: bytes) -> bytes:
        """The 32 bytes in one slot of a sealed blob; for ``bcfl.keys.sealing.open_sealed_with``."""
        return open_slot(slot, self._key)

    def derive_secret(self, purpose: bytes) -> bytes:
        """32 bytes that nobody else can compute, the same every time for one purpose.

        HKDF-SHA256 of the private key. What can be derived again need not be kept on a disk,
        where it could be lost or found.
        """
        return derive(self._key, b"bcfl account secret 1 " + purpose, 32)

    def sign_transaction(self, fields: dict[str, Any]) -> bytes:
        """The signed bytes of a transaction with these fields, as the node takes them."""
        return bytes(_eth_account().sign_transaction(fields, self._key).raw_transaction)

    @property
    def _key(self) -> bytes:
        return self.__key.to_bytes()

    def __repr__(self) -> str:
        return f"Account({self.address})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Account) and other.address == self.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an account does not travel: pass the key file's path, or the seed, instead"
        )


@lru_cache(maxsize=256)
def derive_account(seed: int, role: str, index: int) -> Account:
    """A development account, the same for the same seed: FOR SIMULATIONS ONLY.

    Whoever knows the seed, which stands in every run's configuration, has the key. Nothing of
    value may ever belong to such an account.

    Parameters
    ----------
    seed : int
        The run's seed.
    role : str
        What the account is for, such as ``"member"``.
    index : int
        Which of them.
    """
    material = f"bcfl development key/{seed}/{role}/{index}".encode()
    key = int.from_bytes(hashlib.sha256(material).digest(), "big") % (_ORDER - 1) + 1
    return Account(key.to_bytes(32, "big"))


@lru_cache(maxsize=1024)
def checksummed(address: str) -> str:
    """An address as people write it (0x and 40 hexadecimal digits) with its EIP-55 capitals.

    Raises
    ------
    AccountError
        It is none, or its capitals do not fit: a digit is wrong.
    """
    if is_address(address) and (address == address.lower() or is_checksum_address(address)):
        return to_checksum_address(address)
    raise AccountError(f"expected an address, 0x and 40 hexadecimal digits; found {address!r:.80}")


def recover_public_key(message: dict[str, Any], signature: bytes) -> bytes:
    """The public key (64 bytes) whose owner signed an EIP-712 ``full_message``.

    Raises
    ------
    ProtocolError
        These 65 bytes are no signature in the one form that the contracts take: v is 27 or
        28, r and s lie in [1, order), and s in its lower half (else anyone could turn one
        valid signature into a second one).
    """
    if len(signature) != 65:
        raise ProtocolError(f"a signature is 65 bytes long; found {len(signature)}")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    v = signature[64]
    if v not in (27, 28) or not 0 < r < _ORDER or not 0 < s <= _ORDER // 2:
        raise ProtocolError("not a canonical signature: v is 27 or 28, r in range, s low")
    try:
        return _recovered(signed_hash(message), v, r, s)
    except (BadSignature, ValidationError, ValueError) as error:
        # about half of all r are no curve point; the backends disagree on how they say so
        raise ProtocolError("nobody's signature: r is not on the curve") from error


@lru_cache(maxsize=512)  # the coordinator checks what a contract in this process checks again
def _recovered(digest: bytes, v: int, r: int, s: int) -> bytes:
    found = Signature(vrs=(v - 27, r, s)).recover_public_key_from_msg_hash(digest)
    return found.to_bytes()


def recover(message: dict[str, Any], signature: bytes) -> str:
    """The checksummed address of whose key signed; raises as :func:`recover_public_key`."""
    return _address(recover_public_key(message, signature))


@lru_cache(maxsize=1024)
def _address(public_key: bytes) -> str:
    return PublicKey(public_key).to_checksum_address()


def signed_by(message: dict[str, Any], signature: bytes, address: str) -> bool:
    """Whether ``signature`` is ``address``'s own, canonical signature of ``message``."""
    try:
        return recover(message, signature) == checksummed(address)
    except ProtocolError:
        return False


def _eth_account() -> type[EthAccount]:
    # Half a second for the curves of key files of another kind. A SuperNode starts a process for
    # every message, and most sign words alone.
    from eth_account import Account as EthAccount  # noqa: PLC0415

    return EthAccount


def _checked_key(private_key: bytes | str) -> bytes:
    try:
        key = (
            bytes.fromhex(private_key.removeprefix("0x"))
            if isinstance(private_key, str)
            else private_key
        )
    except ValueError:
        key = b""
    if len(key) != 32 or not 0 < int.from_bytes(key, "big") < _ORDER:
        # what was passed may be nearly a key: it is not repeated
        raise AccountError("expected a private key: 32 bytes, or 64 hexadecimal digits")
    return key


def _read_keystore(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_KEY_FILE_BYTES:
            raise _no_key_file(path)
        keystore = json.loads(path.read_bytes())
    except OSError as error:
        raise AccountError(f"cannot read the key file {path}: {error.strerror}") from None
    except ValueError:
        raise _no_key_file(path) from None
    if not isinstance(keystore, dict) or not {"crypto", "Crypto"} & keystore.keys():
        raise _no_key_file(path)
    return keystore


def _no_key_file(path: Path) -> AccountError:
    return AccountError(
        f"{path} is not an encrypted key file (Web3 secret storage, version 3); "
        "Account.create_key_file makes one"
    )


def _password() -> str:
    if (password := os.environ.get(PASSWORD_VARIABLE)) is not None:
        return password
    if (name := os.environ.get(PASSWORD_FILE_VARIABLE)) is None:
        raise AccountError(
            f"no password for the key file: set {PASSWORD_VARIABLE}, "
            f"or {PASSWORD_FILE_VARIABLE} to a file whose first line is the password"
        )
    try:
        lines = Path(name).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise AccountError(f"cannot read {name}, named by {PASSWORD_FILE_VARIABLE}") from None
    return lines[0] if lines else ""
