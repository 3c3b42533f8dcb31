# pragma version 0.4.3
"""
@title Challenges
@license Apache-2.0
@notice Anyone may doubt a settled round, with a bond. Then all that was signed in it comes on
        chain and is counted, or the coordinator loses its deposit.
@dev What is forfeited is sent where no key can fetch it: nobody gains by bringing it about. The
     bond of a doubt that was wrong pays the gas of the answer, to whoever answered, and the
     rest goes back: a coordinator that shows nobody what was signed, so that they have to ask
     here, gains nothing by it.
"""

import lanes
import membership
import peer_round
import peer_terms
import pull_payments
import settlement_court
import settlement_rounds
import settlement_terms

uses: peer_round
uses: peer_terms
uses: pull_payments
uses: settlement_court
uses: settlement_rounds
uses: settlement_terms


event Challenged:
    round: indexed(uint256)
    challenger: address
    deadline: uint256


# All that was signed in the round is on chain now, and the coordinator has said what follows.
event Upheld:
    round: indexed(uint256)
    cost: uint256


# The coordinator has said something else, or could not show what was signed.
event Convicted:
    round: indexed(uint256)


struct Challenge:
    challenger: address
    deadline: uint256


# An account without a key, as is the custom.
_NOBODY: constant(address) = 0x000000000000000000000000000000000000dEaD
# Of a transaction, with what is spent before gas is counted and after; and of a byte of it.
_TRANSACTION_GAS: constant(uint256) = 110_000
_BYTE_GAS: constant(uint256) = 16

# By round, while they wait for an answer.
challenge_of: public(HashMap[uint256, Challenge])


@external
@payable
def challenge(record: settlement_rounds.Record):
    """
    @notice Doubts a round that was settled: all that was signed in it must come on chain.
    @param record What the coordinator has said of the round, as `Settled` has it.
    """
    round: uint256 = record.round
    settlement_rounds._check_record(record)
    assert msg.value == settlement_terms.bond, "settlement: not the bond"
    assert (
        block.timestamp <= record.settled_at + settlement_terms.challenge_window_s
    ), "settlement: the round is final"
    assert (
        self.challenge_of[round].challenger == empty(address)
    ), "settlement: the round is challenged already"
    deadline: uint256 = block.timestamp + settlement_terms.challenge_window_s
    self.challenge_of[round] = Challenge(challenger=msg.sender, deadline=deadline)
    settlement_rounds.challenges += 1
    log Challenged(round=round, challenger=msg.sender, deadline=deadline)


@external
def answer(
    record: settlement_rounds.Record,
    commitments: DynArray[settlement_rounds.SignedCommitment, lanes.CAPACITY],
    ballots: DynArray[settlement_rounds.SignedBallot, lanes.CAPACITY],
):
    """
    @notice Brings all that was signed in a round, and counts. Anybody who has it may: if the
            coordinator has said something else it is convicted at once, challenged or not.
    @param record As in `challenge`.
    @param commitments All of them, in the order of their members.
    @param ballots All of them, in the order of their members.
    """
    gas_before: uint256 = msg.gas
    round: uint256 = record.round
    settlement_rounds._check_record(record)
    doubt: Challenge = self.challenge_of[round]
    if doubt.challenger == empty(address):
        assert (
            block.timestamp <= record.settled_at + settlement_terms.challenge_window_s
        ), "settlement: the round is final"
    if not settlement_court._agrees(record, commitments, ballots):
        self._convict(round)
        return
    assert doubt.challenger != empty(address), "settlement: nobody doubts the round"
    settlement_rounds.records[round] = empty(bytes32)
    self._end(round)
    gas: uint256 = unsafe_add(
        unsafe_sub(gas_before, msg.gas), _TRANSACTION_GAS + _BYTE_GAS * len(msg.data)
    )
    cost: uint256 = min(gas * block.basefee, settlement_terms.bond)
    pull_payments._credit(msg.sender, cost)
    pull_payments._credit(doubt.challenger, settlement_terms.bond - cost)
    log Upheld(round=round, cost=cost)


@external
def convict(round: uint256):
    """
    @notice A challenge was not answered in time.
    """
    doubt: Challenge = self.challenge_of[round]
    assert doubt.challenger != empty(address), "settlement: nobody doubts the round"
    assert block.timestamp > doubt.deadline, "settlement: it may be answered still"
    void_from: uint256 = settlement_rounds.void_from
    assert void_from == 0 or round < void_from, "settlement: the round is void"
    self._convict(round)


@external
def take_back(round: uint256):
    """
    @notice Gives back the bond for a round that is void, as one before it is.
    """
    void_from: uint256 = settlement_rounds.void_from
    assert void_from != 0 and void_from <= round, "settlement: the round counts"
    doubt: Challenge = self.challenge_of[round]
    assert doubt.challenger != empty(address), "settlement: nobody doubts the round"
    self._end(round)
    pull_payments._credit(doubt.challenger, settlement_terms.bond)


@external
def release():
    """
    @notice Owes the coordinator its deposit, see `withdraw`, once all rounds are final.
    """
    peer_terms._only_coordinator()
    header: uint256 = peer_round.header
    peer_round._check_idle(header)
    assert settlement_rounds.deposited, "settlement: nothing is deposited any more"
    assert settlement_rounds.challenges == 0, "settlement: a challenge waits for an answer"
    assert (
        block.timestamp
        > unsafe_add(peer_round._opened_at(header), settlement_terms.challenge_window_s)
    ), "settlement: the last round is not final"
    settlement_rounds.deposited = False
    pull_payments._credit(peer_terms.coordinator, settlement_terms.deposit)


@internal
def _convict(round: uint256):
    doubt: Challenge = self.challenge_of[round]
    if doubt.challenger != empty(address):
        self._end(round)
        pull_payments._credit(doubt.challenger, settlement_terms.bond)
    settlement_rounds._void(round)
    if settlement_rounds.deposited:
        settlement_rounds.deposited = False
        send(_NOBODY, settlement_terms.deposit)
    log Convicted(round=round)


@internal
def _end(round: uint256):
    self.challenge_of[round] = empty(Challenge)
    settlement_rounds.challenges -= 1
