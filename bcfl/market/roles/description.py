"""What an initiator asks for: the task's description, which the chain names by its digest.

PROTOCOL, System B, initiator: "properties of the input data, expected output, the shared
verification set, the minimum acceptable fitness rate (MAFR), optionally a recommended model
architecture". MAFR, reward and deadlines are the contract's; everything else is here.

Of the verification set, the fusion part is public. The measuring part lies sealed beside it: the
description has the digest of each measuring set, salted, so that a guess cannot be confirmed,
and the initiator's grant gives a panel the key. So nobody can train on what
models are measured by before they are in, and the initiator cannot choose it afterwards.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import to_json

from bcfl.core.errors import CodecError, ConfigurationError, SealError
from bcfl.core.model import decode_model, encode_model
from bcfl.core.strict_json import parse_json
from bcfl.keys.accounts import Account
from bcfl.keys.public_keys import address_of
from bcfl.keys.sealing import decrypt_model, encrypt_model
from bcfl.market.judging.fitness import FitnessRules
from bcfl.market.roles.costs import expect_affordable
from bcfl.market.roles.pieces import get_pieces, put_pieces
from bcfl.market.spec.architecture import Architecture, Limits
from bcfl.market.spec.layers import Shape
from bcfl.market.spec.report import measuring_set_of
from bcfl.market.verification_set import Samples, VerificationSet
from bcfl.store.blob_store import BlobStore

_MAX_BYTES: Final = 1 << 20
_MOST_CLASSES: Final = 1 << 10
_VERSION: Final = 2
_SALT_BYTES: Final = 32
_CONFIG: Final = ConfigDict(extra="forbid", ser_json_bytes="hex", val_json_bytes="hex")


@dataclass(frozen=True, slots=True)
class SealedSet:
    """A measuring set, as everybody may see it."""

    __pydantic_config__ = _CONFIG

    digest: bytes  #: SHA-256 of salt and samples; with the key it opens them
    pieces: tuple[bytes, ...]  #: of the sealed bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Description:
    """A task's description.

    Raises
    ------
    ConfigurationError
        A field is not what it should be.
    """

    __pydantic_config__ = _CONFIG

    name: str  #: for people
    initiator_key: bytes  #: 64 bytes, x ‖ y: what a model's buyer-only part is sealed to
    input_shape: Shape  #: of one sample
    classes: int
    fusion_part: tuple[bytes, ...]  #: its pieces
    fusion_part_bytes: int
    measuring: tuple[SealedSet, ...]  #: see ``measuring_set_of``
    fitness: FitnessRules = field(default_factory=FitnessRules)
    recommended: str = ""  #: an architecture's canonical JSON, or nothing
    version: int = _VERSION

    def __post_init__(self) -> None:
        if self.version != _VERSION:
            raise ConfigurationError(
                f"a task description of version {_VERSION} expected; found {self.version}: "
                "is there a newer bcfl?"
            )
        digests = [*self.fusion_part]
        for each in self.measuring:
            digests += [each.digest, *each.pieces]
        if len(self.initiator_key) != 64 or any(len(digest) != 32 for digest in digests):
            raise ConfigurationError(
                "a task description has a public key of 64 bytes and digests of 32"
            )
        expect_classes(self.classes)
        if not self.measuring:
            raise ConfigurationError("a task has a measuring set, or more; found none")
        if len(self.name) > 200 or not self.name.isprintable():
            raise ConfigurationError("a task's name is at most 200 printable characters long")

    def recommendation(self) -> Architecture | None:
        """The recommended architecture, within the task's limits.

        Raises
        ------
        ArchitectureError
            What is recommended is none.
        """
        if not self.recommended:
            return None
        return Architecture.from_json(self.recommended.encode("ascii", "replace"), self.limits)

    @property
    def limits(self) -> Limits:
        """How large a model may be."""
        return self.fitness.limits

    def measuring_set(self, number: int) -> SealedSet:
        """Which one judges the task's submission of that number, from 1."""
        return self.measuring[measuring_set_of(number, len(self.measuring))]

    def asks_for_the_same(self, other: Description) -> bool:
        """Whether the two differ at most in what another try of the same launch makes different.

        That is how the measuring sets were sealed, and what public samples were found to give.
        """
        mine, theirs = ([each.digest for each in d.measuring] for d in (self, other))
        fitness = replace(self.fitness, public_accuracy=other.fitness.public_accuracy)
        again = replace(self, measuring=other.measuring, fitness=fitness)
        return mine == theirs and again == other


def expect_classes(count: int) -> None:
    """Raise ConfigurationError unless a task may tell so many classes apart."""
    if not 2 <= count <= _MOST_CLASSES:
        raise ConfigurationError(
            f"a task tells 2 to {_MOST_CLASSES} classes apart; found {count}: labels count from 0"
        )


_ADAPTER: Final = TypeAdapter(Description)


def publish_description(
    store: BlobStore,
    name: str,
    account: Account,
    verification: VerificationSet,
    fitness: FitnessRules,
    recommended: Architecture | None = None,
    sets: int = 1,
) -> bytes:
    """Put description and verification set; the digest that ``launch`` takes, 32 bytes.

    Parameters
    ----------
    account : Account
        The initiator's: what seals the measuring sets derives from it.
    sets : int
        Measuring sets. Who sits on a panel can pass on what it was shown: with as many sets as
        submissions it is of no use to anybody.

    Raises
    ------
    ArchitectureError
        The recommended architecture is beyond the task's own limits.
    ConfigurationError
        The recommended architecture takes or puts out something else than the task says; or
        no verifier would judge for this task, because it costs too much; or there are too few
        samples for so many sets.
    StoreUnreachable
        As ``BlobStore.put``.
    """
    if recommended is not None:
        recommended.check(fitness.limits)
        if (recommended.input_shape, recommended.classes) != (
            verification.input_shape,
            verification.classes,
        ):
            raise ConfigurationError(
                f"the verification set has samples of shape {verification.input_shape} and "
                f"{verification.classes} classes; the recommended architecture is for "
                f"{recommended.input_shape} and {recommended.classes}"
            )
    expect_affordable(fitness, verification)
    fusion, measuring = verification.split(sets)
    blob = _encode(fusion)
    description = Description(
        name,
        account.public_key,
        verification.input_shape,
        verification.classes,
        put_pieces(store, blob),
        len(blob),
        tuple(_put_sealed(store, account, each) for each in measuring),
        fitness,
        recommended.to_json().decode() if recommended is not None else "",
    )
    return store.put(to_json(description, bytes_mode="hex", indent=1))


def measuring_key(account: Account, sealed: SealedSet) -> bytes:
    """What opens a measuring set of this initiator's own: 32 bytes, never kept."""
    return account.derive_secret(b"bcfl market measuring key/" + sealed.digest)


def _put_sealed(store: BlobStore, account: Account, samples: Samples) -> SealedSet:
    plain = _encode(samples)
    salt = account.derive_secret(b"bcfl market measuring salt/" + hashlib.sha256(plain).digest())
    digest = hashlib.sha256(salt + plain).digest()
    unsealed = SealedSet(digest, (), 0)
    sealed = encrypt_model(salt + plain, measuring_key(account, unsealed), digest)
    return SealedSet(digest, put_pieces(store, sealed), len(sealed))


def fetch_description(store: BlobStore, digest: bytes, initiator: str) -> Description:
    """The description of that digest, checked.

    Parameters
    ----------
    initiator : str
        Who launched the task: the description has this account's key.

    Raises
    ------
    BlobError, CodecError
        As ``BlobStore.get``.
    ConfigurationError
        It is no task description, or not one of this bcfl's.
    """
    text = store.get(digest, _MAX_BYTES)
    try:
        parse_json(text)  # bounds its depth
        found = _ADAPTER.validate_json(text, strict=True)
    except ValidationError as error:
        reason = error.errors()[0]
        where = ".".join(str(part) for part in reason["loc"])
        raise ConfigurationError(f"no task description: {where}: {reason['msg']}") from error
    except ValueError as error:
        raise ConfigurationError("no task description: it is no JSON") from error
    with suppress(SealError):
        if address_of(found.initiator_key) == initiator:
            return found
    raise ConfigurationError(
        f"the task was launched by {initiator}; its description has the key of somebody else"
    )


def fetch_fusion_part(store: BlobStore, description: Description, max_bytes: int) -> Samples:
    """The public part of the verification set.

    Raises
    ------
    BlobError, CodecError
        As ``BlobStore.get``; also where it is longer than ``max_bytes``, or of another shape
        than the description says.
    """
    size_bytes = description.fusion_part_bytes
    return _decode(get_pieces(store, description.fusion_part, size_bytes, max_bytes), description)


def fetch_verification_set(
    store: BlobStore, description: Description, number: int, key: bytes, max_bytes: int
) -> VerificationSet:
    """What submission ``number`` is judged by.

    Parameters
    ----------
    key : bytes
        32 bytes, from the initiator's grant; see ``measuring_key``.

    Raises
    ------
    BlobError, CodecError
        As :func:`fetch_fusion_part`; or the key does not open what the description names.
    ConfigurationError
        It is not what the description says, or more than a verifier can be asked to bear.
    """
    sealed = description.measuring_set(number)
    blob = get_pieces(store, sealed.pieces, sealed.size_bytes, max_bytes)
    plain = decrypt_model(blob, key, sealed.digest)
    if hashlib.sha256(plain).digest() != sealed.digest:
        raise CodecError("the measuring set is not the one whose digest the task has")
    fusion = fetch_fusion_part(store, description, max_bytes)
    measuring = _decode(plain[_SALT_BYTES:], description)
    found = VerificationSet.joined(fusion, measuring, description.classes)
    expect_affordable(description.fitness, found)
    return found


def _encode(samples: Samples) -> bytes:
    return encode_model({"samples": samples[0], "labels": samples[1]})


def _decode(blob: bytes, description: Description) -> Samples:
    arrays = decode_model(blob)
    if set(arrays) != {"samples", "labels"}:
        raise CodecError(f"a verification set is samples and labels; found {sorted(arrays)[:4]}")
    samples, labels = arrays["samples"], arrays["labels"]
    if samples.shape != (*labels.shape[:1], *description.input_shape) or labels.ndim != 1:
        raise CodecError(
            f"the task's samples are of shape {description.input_shape}, with one label each; "
            f"found {samples.shape} and {labels.shape}"
        )
    return samples, labels
