"""The one error tree of bcfl.

A message says what was expected, what was found, and what the user can do.
"""

from __future__ import annotations

__all__ = [
    "AccountError",
    "ArchitectureError",
    "ArtifactError",
    "AuditError",
    "BcflError",
    "BeyondAllowance",
    "BlobError",
    "BlobMissing",
    "ChainReorganised",
    "CodecError",
    "CommitmentRejected",
    "ConfigurationError",
    "ContractReverted",
    "DatasetUnavailable",
    "EngineFailed",
    "JournalDamaged",
    "LedgerError",
    "MetricError",
    "ModelError",
    "NobodyLeft",
    "NodeBehind",
    "NodeRefused",
    "NodeUnreachable",
    "NotAReader",
    "ProgramFailed",
    "ProtocolError",
    "ReplyMalformed",
    "RoundNotOpen",
    "RoundVoid",
    "SealError",
    "SignedAlready",
    "SignerRefused",
    "SignerUnreachable",
    "StorageFailed",
    "StoreUnreachable",
    "TransactionLost",
    "TransactionUnknown",
    "expect",
]


class BcflError(Exception):
    """Anything that bcfl itself refuses or gives up on."""


class ConfigurationError(BcflError):
    """A parameter is out of range, or two of them contradict each other."""


class ModelError(BcflError):
    """Arrays are not what the task's model is made of: keys, shape, dtype, or not finite."""


class ArchitectureError(BcflError):
    """A description of a model is not one that bcfl builds, or is beyond the task's limits.

    Parameters
    ----------
    expected : str
        What would have been in order.
    found : str
        What the description says instead.
    layer : int or None
        The index of the layer at fault, from 0; None where it is the description as a whole.
    """

    def __init__(self, expected: str, found: str, layer: int | None = None) -> None:
        where = "architecture" if layer is None else f"architecture, layer {layer}"
        super().__init__(f"{where}: expected {expected}; found {found}")
        self.expected = expected
        self.found = found
        self.layer = layer

    def __reduce__(self) -> tuple[type[ArchitectureError], tuple[str, str, int | None]]:
        return type(self), (self.expected, self.found, self.layer)


class CodecError(BcflError):
    """Bytes are not the canonical encoding of anything."""


class ProtocolError(BcflError):
    """A participant, or the server, did something that the protocol does not allow."""


class CommitmentRejected(ProtocolError):
    """A commitment, or the delta it stands for, failed a check of S3; the text is the reason."""


class MetricError(ProtocolError):
    """The app's evaluate reported no metric that could be used as a value."""


class NobodyLeft(ProtocolError):
    """A round was left without a single usable update."""


class RoundVoid(ProtocolError):
    """A round stayed below its quorum, and the attempts to repeat it are used up."""


class LedgerError(BcflError):
    """The chain could not be read or written."""


class NodeUnreachable(LedgerError):
    """No Ethereum node answered at the URL."""


class ChainReorganised(LedgerError):
    """The chain took back what the run had gone on from, and cannot be given again."""


class NodeBehind(LedgerError):
    """The node has not got, or has no more, a block that is known to be on the chain."""


class NodeRefused(LedgerError):
    """The node answered a request with an error of its own.

    Parameters
    ----------
    method : str
        The JSON-RPC method that was asked for.
    code : int
        The node's error code.
    message : str
        The node's words.
    data : str
        What a reverted call returned, hexadecimal; empty where there was nothing.
    """

    def __init__(self, method: str, code: int, message: str, data: str = "") -> None:
        super().__init__(f"the node refused {method}: {message[:300]} (code {code})")
        self.method = method
        self.code = code
        self.message = message
        self.data = data

    def __reduce__(self) -> tuple[type[NodeRefused], tuple[str, int, str, str]]:
        return type(self), (self.method, self.code, self.message, self.data)


class ReplyMalformed(LedgerError):
    """What the node answered is no answer to what it was asked."""


class JournalDamaged(LedgerError):
    """The journal of an embedded chain does not replay to the chain that it stands for."""


class TransactionUnknown(LedgerError):
    """The chain knows no transaction by that number."""


class TransactionLost(LedgerError):
    """A transaction was sent and never mined, although it was sent again."""


class ContractReverted(LedgerError):
    """The contract refused a call; ``reason`` is its own word for it.

    Parameters
    ----------
    reason : str
        The contract's revert reason, such as ``"consensus: not the current round"``.
    call : str
        The function that was called.
    """

    def __init__(self, reason: str, call: str) -> None:
        super().__init__(f"the contract refused {call}: {reason or 'no reason given'}")
        self.reason = reason
        self.call = call

    def __reduce__(self) -> tuple[type[ContractReverted], tuple[str, str]]:
        return type(self), (self.reason, self.call)


class AccountError(LedgerError):
    """A key file, or its password, cannot be used, or the account cannot pay."""


class SignerUnreachable(AccountError):
    """No signer answered at the address that the node's configuration names."""


class SignerRefused(AccountError):
    """The member's signer does not sign this."""


class SignedAlready(SignerRefused):
    """The signer has signed another message of this kind for this round, and signs one only."""


class RoundNotOpen(SignerRefused):
    """The signer's own node says that the round does not take this now."""


class BeyondAllowance(SignerRefused):
    """A payment is none that the signer's owner allowed, or above what was allowed."""


class ArtifactError(LedgerError):
    """The code at the contract's address is not the code that bcfl ships."""


class BlobError(BcflError):
    """The blob store could not give or take a blob."""


class BlobMissing(BlobError):
    """The store has no blob of that digest."""


class SealError(BlobError):
    """A sealed blob is not sealed to this key, or not sealed at all, or was changed."""


class NotAReader(SealError):
    """A sealed blob is sealed to others than the owner of this key."""


class StoreUnreachable(BlobError):
    """No blob store answered at the URL."""


class StorageFailed(BcflError):
    """The disk is full, or a folder cannot be written."""


class EngineFailed(BcflError):
    """The simulation engine did not start, or broke down."""


class ProgramFailed(BcflError):
    """A program of other people's, which the cluster needs, ended too soon or is too slow."""


class DatasetUnavailable(BcflError):
    """A data set is neither on this machine nor can be downloaded."""


class AuditError(BcflError):
    """A run folder cannot be audited at all: something that every audit needs is missing."""


def expect(
    holds: bool,
    name: str,
    expected: str,
    found: object,
    error: type[BcflError] = ConfigurationError,
) -> None:
    """Raise ``error`` unless ``holds``.

    Parameters
    ----------
    holds : bool
        The condition.
    name : str
        Of the parameter, as its user writes it, with its unit if it has one.
    expected : str
        What it may be, such as ``"in [0, 1)"``; may end in what to do.
    found : object
        What it is.
    error : type
        An error whose one argument is its text.
    """
    if not holds:
        raise error(f"{name}: expected {expected}; found {found}")
