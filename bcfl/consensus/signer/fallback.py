"""What the server does not relay, the signer sends by itself: ``bcfl signer --direct-fallback``.

A ClientApp lives while it handles a message; the signer outlives it, and knows what it has
signed, the chain, and what its owner lets it pay. In the last part of a window it sends the
round's commitment, proposal, seal or ballot that the chain still lacks. Each goes through
``MemberSigner`` as anything else: said once, within the allowance.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from typing import Any, Final

from bcfl.chain.connection import Connection
from bcfl.consensus.contract.ledger import Ledger
from bcfl.consensus.contract.settlement import SettlementLedger
from bcfl.consensus.signer.member_signer import MemberSigner
from bcfl.consensus.spec.domain import (
    Ballot,
    Commitment,
    Phase,
    Proposal,
    RoundState,
    SignedBallot,
    SignedCommitment,
    SignedProposal,
    SignedSeal,
)
from bcfl.consensus.spec.messages import seal_message
from bcfl.consensus.spec.rules import LEAST_WINDOW_S
from bcfl.core.errors import ArtifactError, BcflError
from bcfl.keys.signer import Wallet
from bcfl.keys.signer_wire import data_of

_LOOK_AGAIN_S: Final = 2.0
#: Of a window's end, seconds; of a shorter window, its second half.
_MARGIN_S: Final = 60
_UNSIGNED: Final = bytes(65)  # a direct call needs no signature


class DirectFallback:
    """Watches the signer's one task.

    Parameters
    ----------
    signer : MemberSigner
        Knows the task and what was signed.
    wallet : Wallet
        The same signer, as its clients see it: what it refuses them, it refuses here.
    """

    def __init__(self, signer: MemberSigner, wallet: Wallet) -> None:
        self._signer = signer
        self._wallet = wallet
        self._ledger: Ledger | None = None

    def watch(self, stop: threading.Event) -> None:
        """Look every two seconds until ``stop`` is set; what goes wrong is printed."""
        said = ""
        while not stop.wait(_LOOK_AGAIN_S):
            try:
                found = self.look()
            except BcflError as error:
                found = f"could not send by itself: {error}"
            if found and found != said:
                print(found, file=sys.stderr, flush=True)
            said = found

    def look(self) -> str:
        """Send what is due; what it was, or empty. Raises BcflError where that fails."""
        identity = self._signer.identity()
        if not identity.contract:
            return ""
        if self._ledger is None or self._ledger.domain.contract != identity.contract:
            node = Connection(identity.rpc_url, self._wallet, timeout_s=5.0, retry_s=0.0)
            try:
                self._ledger = Ledger.attach(node, identity.contract)
            except ArtifactError:
                # of such a round the chain never has what the server was given
                SettlementLedger.attach(node, identity.contract)
                return (
                    "the task is settled optimistically: what the server leaves out is brought by "
                    "the node itself, with bcfl-direct-fallback=true, and not by its signer"
                )
        return self._send(self._ledger, self._ledger.state(), self._ledger.now())

    def _send(self, ledger: Ledger, state: RoundState, now: int) -> str:
        kind, begins, ends, done = _due(state)
        said = self._signer.said(kind, state.round) if kind else None
        if said is None or self._wallet.address not in (members := ledger.members()):
            return ""
        member = members.index(self._wallet.address)
        if kind == "Commitment" and not state.expected >> member & 1:
            # once those have committed who are waited for, there is no more time than this
            ends = min(ends, begins + LEAST_WINDOW_S)
        if done >> member & 1 or now < ends - min(_MARGIN_S, (ends - begins) // 2):
            return ""
        if kind == "Commitment":
            sent = ledger.commit_direct(_commitment(said, member))
        elif kind == "Proposal":
            proposal = Proposal(state.round, int(said["members"]))
            sent = ledger.propose_direct(SignedProposal(member, proposal, _UNSIGNED))
        elif kind == "Seal":
            seal = SignedSeal(member, state.round, data_of(said["seal"]), _UNSIGNED)
            sent = ledger.seal_direct(seal)
        else:
            sealed = self._signer.said("Seal", state.round) is not None
            salt = self._salt(ledger, state.round, member) if sealed else b""
            ballot = Ballot.decode(state.round, data_of(said["entries"]))
            sent = ledger.cast_ballot_direct(SignedBallot(member, ballot, _UNSIGNED, salt))
        return f"sent the {kind.lower()} of round {state.round} by itself: {sent.hash}"

    def _salt(self, ledger: Ledger, round_: int, member: int) -> bytes:
        """As the member makes it: see ``Membership``."""
        words = seal_message(ledger.domain, round_, bytes(32))
        return hashlib.sha256(self._wallet.sign(words)).digest()[:-1] + bytes([member])


def _due(state: RoundState) -> tuple[str, int, int, int]:
    """What the phase takes, from when to when, and who is done with it."""
    commitments_end = state.commit_deadline
    match state.phase:
        case Phase.COMMIT:
            return "Commitment", state.opened_at, commitments_end, state.committed
        case Phase.PROPOSE:
            return "Proposal", commitments_end, state.proposal_deadline, state.proposed
        case Phase.SEAL:
            begins = max(commitments_end, state.proposal_deadline)
            return "Seal", begins, state.seal_deadline, state.sealed
        case Phase.BALLOT:
            voted = state.voted | state.abstained
            return "Ballot", state.seal_deadline, state.ballot_deadline, voted
    return "", 0, 0, 0


def _commitment(said: dict[str, Any], member: int) -> SignedCommitment:
    base, digest = data_of(said["base"]), data_of(said["digest"])
    commitment = Commitment(int(said["round"]), base, digest, int(said["timestamp"]))
    return SignedCommitment(member, commitment, _UNSIGNED)
