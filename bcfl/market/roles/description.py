"""What an initiator asks for: the task's description, which the chain names by its digest.

PROTOCOL, System B, initiator: "properties of the input data, expected output, the shared
verification set, the minimum acceptable fitness rate (MAFR), optionally a recommended model
architecture". MAFR, reward and deadlines are the contract's; everything else is here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import to_json

from bcfl.core.errors import CodecError, ConfigurationError
from bcfl.core.model import decode_model, encode_model
from bcfl.core.strict_json import parse_json
from bcfl.market.judging.fitness import FitnessRules
from bcfl.market.roles.costs import expect_affordable
from bcfl.market.roles.pieces import get_pieces, put_pieces
from bcfl.market.spec.architecture import Architecture, Limits
from bcfl.market.spec.layers import Shape
from bcfl.market.verification_set import VerificationSet
from bcfl.store.blob_store import BlobStore

__all__ = [
    "Description",
    "expect_classes",
    "fetch_description",
    "fetch_verification_set",
    "publish_description",
]

_MAX_BYTES: Final = 1 << 20
_MOST_CLASSES: Final = 1 << 10
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Description:
    """A task's description.

    Raises
    ------
    ConfigurationError
        A field is not what it should be.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", ser_json_bytes="hex", val_json_bytes="hex")

    name: str  #: for people
    initiator_key: bytes  #: 64 bytes, x ‖ y: what a model's buyer-only part is sealed to
    input_shape: Shape  #: of one sample
    classes: int
    verification: tuple[bytes, ...]  #: pieces of the verification set
    verification_bytes: int
    fusion_share: float = 0.5  #: see VerificationSet
    seed: int = 0  #: see VerificationSet
    fitness: FitnessRules = field(default_factory=FitnessRules)
    recommended: str = ""  #: an architecture's canonical JSON, or nothing
    version: int = _VERSION

    def __post_init__(self) -> None:
        if self.version != _VERSION:
            raise ConfigurationError(
                f"a task description of version {_VERSION} expected; found {self.version}: "
                "is there a newer bcfl?"
            )
        if len(self.initiator_key) != 64 or any(len(piece) != 32 for piece in self.verification):
            raise ConfigurationError(
                "a task description has a public key of 64 bytes and digests of 32"
            )
        expect_classes(self.classes)
        if not 0 <= self.seed < 2**63:
            raise ConfigurationError(f"a task's seed lies in [0, 2**63); found {self.seed}")
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
    initiator_key: bytes,
    verification: VerificationSet,
    fitness: FitnessRules,
    recommended: Architecture | None = None,
) -> bytes:
    """Put description and verification set; the digest that ``launch`` takes, 32 bytes.

    Raises
    ------
    ArchitectureError
        The recommended architecture is beyond the task's own limits.
    ConfigurationError
        The recommended architecture takes or puts out something else than the task says; or
        no verifier would judge for this task, because it costs too much.
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
    blob = encode_model({"samples": verification.samples, "labels": verification.labels})
    description = Description(
        name,
        initiator_key,
        verification.input_shape,
        verification.classes,
        put_pieces(store, blob),
        len(blob),
        verification.fusion_share,
        verification.seed,
        fitness,
        recommended.to_json().decode() if recommended is not None else "",
    )
    return store.put(to_json(description, bytes_mode="hex", indent=1))


def fetch_description(store: BlobStore, digest: bytes) -> Description:
    """The description of that digest, checked.

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
        return _ADAPTER.validate_json(text, strict=True)
    except ValidationError as error:
        reason = error.errors()[0]
        where = ".".join(str(part) for part in reason["loc"])
        raise ConfigurationError(f"no task description: {where}: {reason['msg']}") from error
    except ValueError as error:
        raise ConfigurationError("no task description: it is no JSON") from error


def fetch_verification_set(
    store: BlobStore, description: Description, max_bytes: int
) -> VerificationSet:
    """The shared verification set.

    Raises
    ------
    BlobError, CodecError
        As ``BlobStore.get``; also where it is longer than ``max_bytes``.
    ConfigurationError
        It is not what the description says, or more than a verifier can be asked to bear.
    """
    blob = get_pieces(store, description.verification, description.verification_bytes, max_bytes)
    arrays = decode_model(blob)
    if set(arrays) != {"samples", "labels"}:
        raise CodecError(f"a verification set is samples and labels; found {sorted(arrays)[:4]}")
    if arrays["labels"].ndim != 1:
        raise CodecError(f"labels stand in a row; found an array {arrays['labels'].shape}")
    found = VerificationSet(
        arrays["samples"],
        arrays["labels"],
        description.classes,
        description.fusion_share,
        description.seed,
    )
    if found.input_shape != description.input_shape:
        raise ConfigurationError(
            f"the task's samples are of shape {description.input_shape}; "
            f"the verification set's are of {found.input_shape}"
        )
    expect_affordable(description.fitness, found)
    return found
