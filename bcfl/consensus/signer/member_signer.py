"""Signs a member's messages, each kind once a round, and its payments up to an allowance."""

from __future__ import annotations

import threading
from dataclasses import astuple
from typing import Any, Final

from bcfl.chain.connection import Connection
from bcfl.chain.node import transaction_number
from bcfl.consensus.contract.calldata import Call, decode_call
from bcfl.consensus.contract.words import relayed, seal_of
from bcfl.consensus.signer.allowance import Allowance
from bcfl.consensus.signer.messages import MemberMessage, read_message
from bcfl.consensus.signer.record import Payment, SigningRecord
from bcfl.consensus.signer.task import SignerTask, find_task
from bcfl.consensus.spec.domain import Ballot, Commitment, Proposal, TypedDataDomain
from bcfl.consensus.spec.messages import (
    ballot_message,
    commitment_message,
    proposal_message,
    seal_message,
)
from bcfl.core.errors import (
    BeyondAllowance,
    ConfigurationError,
    ProtocolError,
    SignedAlready,
    SignerRefused,
)
from bcfl.keys.accounts import Account, checksummed
from bcfl.keys.signer_wire import (
    Answer,
    Identify,
    Identity,
    Pay,
    Sign,
    Unseal,
    data_of,
    hex_of,
)

_JOIN: Final = "join"
_CHALLENGE: Final = "challenge"
#: What pays for more than gas: a stake, a bond.
_PRICED: Final = (_JOIN, _CHALLENGE)


class MemberSigner:
    """Answers what a ClientApp asks; safe to share between threads.

    Parameters
    ----------
    account : Account
        The member's.
    connection : Connection
        To the owner's node; see ``task.connect``.
    contract : str or None
        The one task. Left out: the first contract of bcfl's on that chain that has the account
        among its members, kept in the record for good. Members that a coordinator names are
        asked for their addresses before there is a contract.
    record : SigningRecord
        What was signed.
    allowance : Allowance
        What may be paid; a deposit only to a contract that the owner named.

    Raises
    ------
    ConfigurationError
        Deposits are allowed, and no contract is named.
    ArtifactError
        The contract is not bcfl's.
    """

    def __init__(
        self,
        account: Account,
        connection: Connection,
        contract: str | None,
        record: SigningRecord,
        allowance: Allowance,
    ) -> None:
        if allowance.max_stake_wei and contract is None:
            raise ConfigurationError("--max-stake-wei: expected --contract beside it; found none")
        self._account = account
        self._connection = connection
        self._record = record
        self._allowance = allowance
        self._settling, self._one_payment = threading.Lock(), threading.Lock()
        known = contract or record.task(connection.chain_id)
        self._known = None if known is None else find_task(connection, checksummed(known))

    def answer(self, request: Identify | Sign | Pay | Unseal) -> Identity | Answer:
        """What was asked for; or why not, as a ``BcflError``."""
        if isinstance(request, Sign):
            return Answer(data=hex_of(self.sign(request.message)))
        if isinstance(request, Pay):
            return Answer(data=hex_of(self.pay(request)))
        if isinstance(request, Unseal):
            return Answer(data=hex_of(self._account.open_slot(data_of(request.slot))))
        return self.identity()

    def identity(self) -> Identity:
        """The account and the task."""
        return Identity(
            address=self._account.address,
            public_key=hex_of(self._account.public_key),
            chain_id=self._connection.chain_id,
            contract=self._known.domain.contract if self._known else "",
            rpc_url=self._connection.url,
        )

    def said(self, kind: str, round: int) -> dict[str, Any] | None:
        """What was signed as ``kind`` for a round of the task, bytes in hexadecimal."""
        if self._known is None:
            return None
        return self._record.said(self._known.domain, kind, round)

    def sign(self, sent: dict[str, Any]) -> bytes:
        """The signature of a message that does not contradict an earlier one.

        What was signed before is signed again without a question about its round.

        Parameters
        ----------
        sent : dict
            An EIP-712 ``full_message``, its bytes in hexadecimal.

        Raises
        ------
        SignedAlready, RoundNotOpen, SignerRefused, LedgerError
        """
        message = read_message(self._domain_for(sent), sent)
        if message.contract:
            task = self._task(message.contract)
            if task.domain.contract != message.contract:  # settled on by another request just now
                raise SignerRefused(f"this signer is for {task.domain.contract}")
            self._claim(message, task)
        return self._account.sign(message.full_message)

    def pay(self, request: Pay) -> bytes:
        """The signed bytes of a transaction, made here from a function and its arguments.

        Raises
        ------
        BeyondAllowance
            The owner allows no such call, or not for so much.
        SignedAlready, RoundNotOpen
            It says something else than what was signed, or is for no open round.
        SignerRefused
            It goes elsewhere than to the task's contract.
        """
        task = self._task(request.to)
        domain = task.domain
        if (request.chain_id, request.to) != (domain.chain_id, domain.contract):
            raise SignerRefused(
                f"expected a call of {domain.contract} on chain {domain.chain_id}; found one of "
                f"{request.to} on {request.chain_id}"
            )
        with self._one_payment:
            sent = data_of(request.data)
            call = decode_call(self._account.address, sent)
            data = self._data(call, request.value, task)
            if data != sent:
                raise SignerRefused(f"this is not how a call of {call.function} is written")
            self._expect_paid_for(call.function, request, task)
            if call.function not in _PRICED:
                self._claim_direct(call, task)
            return self._signed(call.function, request, data)

    def _domain_for(self, sent: dict[str, Any]) -> TypedDataDomain:
        """The domain of the task; that of the message where there is no task yet."""
        if self._known is not None:
            return self._known.domain
        domain = sent.get("domain")
        named = domain.get("verifyingContract", "") if isinstance(domain, dict) else ""
        return TypedDataDomain(self._connection.chain_id, str(named))

    def _task(self, contract: str) -> SignerTask:
        """The task; settled on now where there is none, and the account is a member of this."""
        with self._settling:
            if self._known is None:
                task = find_task(self._connection, checksummed(contract))
                task.expect_member(self._account.address)
                self._record.settle_on(task.domain)
                self._known = task
            return self._known

    def _claim(self, message: MemberMessage, task: SignerTask) -> None:
        self._record.expect_unsaid(message)  # also where the round is long over
        if not message.binds or self._record.signed(message, message.kind) != hex_of(
            message.values
        ):
            task.expect_open(message)
        self._record.claim(message)

    def _data(self, call: Call, value: int, task: SignerTask) -> bytes:
        """The calldata of an allowed function with these arguments."""
        if call.function in _PRICED:
            if value != (price := task.price()):
                raise BeyondAllowance(f"a {call.function} costs {price} wei; found {value}")
            record = () if call.record is None else (astuple(call.record),)
            return task.encode(call.function, *record)
        if value:
            raise BeyondAllowance(f"no value goes with {call.function or 'this'}; found {value}")
        if call.function == "commit_direct":
            (commitment,) = call.commitments
            said = commitment.digest, commitment.timestamp
            return task.encode(call.function, call.round, *said)
        if call.function == "propose_direct":
            return task.encode(call.function, call.round, call.proposals[0].members)
        if call.function == "seal_direct":
            return task.encode(call.function, call.round, call.seals[0].seal)
        if call.function == "cast_ballot_direct":
            (ballot,) = call.ballots
            return task.encode(call.function, call.round, ballot.entries, ballot.salt)
        if call.function == "show_commitment":
            (shown,) = call.commitments
            signature = relayed(shown.signature)
            words = shown.member, shown.timestamp, shown.digest, *signature
            return task.encode(call.function, call.round, words)
        if call.function == "show_ballot":
            (ballot,) = call.ballots
            signature = relayed(ballot.signature)
            return task.encode(call.function, call.round, ballot.member, *signature, ballot.entries)
        raise BeyondAllowance(
            "a signer pays for join, commit_direct, propose_direct, seal_direct, "
            "cast_ballot_direct, show_commitment, show_ballot and challenge; found "
            f"{call.function or 'no function of the contract'}"
        )

    def _expect_paid_for(self, function: str, request: Pay, task: SignerTask) -> None:
        address, before = self._account.address, self._record.payments(task.domain.chain_id)
        if function == _JOIN:
            deposits = [
                one
                for one in before
                if one.value
                and one.function == _JOIN
                and one.nonce != request.nonce
                and not task.came_to_nothing(address, one.nonce, one.hash)
            ]
            self._allowance.expect_stake(request.value, deposits)
        elif function == _CHALLENGE:
            self._allowance.expect_bond(request.value, before)
        else:
            self._allowance.expect_direct(function)
        if request.tip > request.max_fee:
            raise SignerRefused("the tip is part of the highest fee; found a larger one")
        self._allowance.expect_gas(request.gas * request.max_fee, request.nonce, before)
        task.expect_next(address, request.nonce)

    def _claim_direct(self, call: Call, task: SignerTask) -> None:
        """A direct call says what a message would; it, too, is said once."""
        domain = task.domain
        try:
            if call.function in ("commit_direct", "show_commitment"):
                (sent,) = call.commitments
                base = task.model()
                said = Commitment(call.round, base, sent.digest, sent.timestamp)
                message = MemberMessage("Commitment", commitment_message(domain, said))
            elif call.function == "propose_direct":
                proposal = Proposal(call.round, call.proposals[0].members)
                message = MemberMessage("Proposal", proposal_message(domain, proposal))
            elif call.function == "seal_direct":
                seal = seal_message(domain, call.round, call.seals[0].seal)
                message = MemberMessage("Seal", seal)
            else:
                self._claim_ballot(call, task)
                return
        except ProtocolError as error:
            raise SignerRefused(f"{call.function}: {error}") from None
        if not message.binds:
            raise SignerRefused("this seal is that of no ballot")
        self._claim(message, task)

    def _claim_ballot(self, call: Call, task: SignerTask) -> None:
        (sent,) = call.ballots
        ballot = Ballot.decode(call.round, sent.entries)
        message = MemberMessage("Ballot", ballot_message(task.domain, ballot))
        if (promised := self._record.signed(message, "Seal")) is None:
            self._claim(message, task)
            return
        if promised["seal"] != hex_of(seal_of(sent.entries, sent.salt)):
            raise SignedAlready(
                f"this account has sealed another ballot for round {call.round}: {promised['seal']}"
            )
        task.expect_open(message)

    def _signed(self, function: str, request: Pay, data: bytes) -> bytes:
        raw = self._account.sign_transaction(
            {
                "type": 2,
                "chainId": request.chain_id,
                "to": request.to,
                "data": data,
                "value": request.value,
                "nonce": request.nonce,
                "gas": request.gas,
                "maxFeePerGas": request.max_fee,
                "maxPriorityFeePerGas": request.tip,
            }
        )
        cost = request.gas * request.max_fee
        number = transaction_number(raw)
        self._record.note(
            Payment(request.chain_id, function, request.nonce, request.value, cost, number)
        )
        return raw
