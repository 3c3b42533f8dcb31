from .contract.ledger import Ledger
from .contract.memory import MemoryChain
from .spec.codec import Heading, decode_delta, digest_of, encode_delta
from .spec.delta import difference, top_gamma
from .spec.domain import Ballot, Commitment, SignedBallot, SignedCommitment
from .spec.fixed_point import to_value
from .spec.messages import ballot_message, commitment_message
from .spec.scoring import Borda, seen_by_most, tally
from .spec.selection import select_winners

__all__ = [
    "Ballot",
    "Borda",
    "Commitment",
    "Heading",
    "Ledger",
    "MemoryChain",
    "SignedBallot",
    "SignedCommitment",
    "ballot_message",
    "commitment_message",
    "decode_delta",
    "difference",
    "digest_of",
    "encode_delta",
    "seen_by_most",
    "select_winners",
    "tally",
    "to_value",
    "top_gamma",
]
