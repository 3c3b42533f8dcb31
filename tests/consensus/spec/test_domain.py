"""The nouns: validated once, when they are made."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfl.consensus.spec.domain import (
    MAX_BALLOT_BYTES,
    MAX_MEMBERS,
    Ballot,
    Commitment,
    Phase,
    Proposal,
    Rating,
    SignedBallot,
    SignedCommitment,
    SignedProposal,
    SignedSeal,
    bits,
    members_in,
)
from bcfl.core.errors import ProtocolError

GOLDEN = Path(__file__).parent / "golden" / "ballot.hex"
DIGEST, SIGNATURE = bytes(32), bytes(65)
members = st.integers(0, MAX_MEMBERS - 1)
values = st.dictionaries(members, st.integers(0, 2**32 - 1) | st.integers(0, 3))
#: As far apart as a ballot can say; and one less and one more than a byte holds, or two, or three.
gaps = st.integers(1, 2**32) | st.sampled_from([2**8, 2**8 + 1, 2**16, 2**24, 2**24 + 1, 2**32])


# --- Ballots -----------------------------------------------------------------------------


@given(values, st.sets(members), st.sets(members), st.integers(1, 2**64 - 1))
def test_decoding_a_ballot_inverts_encoding(
    row: dict[int, int], missing: set[int], invalid: set[int], round_: int
) -> None:
    missing -= row.keys()
    invalid -= row.keys() | missing
    ballot = Ballot.from_values(round_, row, missing, invalid)
    length = len(ballot.encode()) - 2 - 32 * bool(missing or invalid)
    listed, distinct = max(row, default=-1) + 1, sorted(set(row.values()))
    widest = max((b - a - 1 for a, b in pairwise(distinct)), default=0)
    width = next(width for width in (1, 2, 3, 4) if widest < 256**width)
    assert length == listed + 4 * bool(row) + width * max(len(distinct) - 1, 0)
    assert Ballot.decode(round_, ballot.encode()) == ballot
    assert {rating.member: rating.value for rating in ballot.ratings} == row
    assert ballot.rated == bits(row)
    assert (ballot.missing, ballot.invalid) == (bits(missing), bits(invalid))


@given(st.integers(0, 2**32 - 1), st.lists(gaps, max_size=MAX_MEMBERS - 1))
def test_values_may_lie_as_far_apart_as_a_ballot_can_say(lowest: int, steps: list[int]) -> None:
    row = dict(enumerate(accumulate(steps, initial=lowest)))
    ballot = Ballot.from_values(1, row)
    assert len(ballot.encode()) <= MAX_BALLOT_BYTES
    assert Ballot.decode(1, ballot.encode()) == ballot


@pytest.mark.parametrize("row", [[2**32], [0, 2**32 + 1], [3, 5, 6 + 2**32]])
def test_values_further_apart_than_a_ballot_can_say_are_refused(row: list[int]) -> None:
    with pytest.raises(ProtocolError, match=r"smallest value lies in|at most 2\*\*32 apart"):
        Ballot.from_values(1, dict(enumerate(row)))


@given(values, st.randoms(use_true_random=False))
def test_a_ballot_stands_in_descending_order_whatever_the_order_of_the_values(
    row: dict[int, int], random: Any
) -> None:
    ballot = Ballot.from_values(1, row)
    rated = [(rating.value, -rating.member) for rating in ballot.ratings]
    assert rated == sorted(rated, reverse=True)
    shuffled = random.sample(list(row.items()), len(row))
    assert Ballot.from_values(1, dict(shuffled)) == ballot


@given(st.binary(max_size=80) | st.lists(st.sampled_from([0, 1, 2, 3, 255])).map(bytes))
def test_any_bytes_are_a_ballot_s_or_refused(entries: bytes) -> None:
    try:
        ballot = Ballot.decode(1, entries)
    except ProtocolError:
        return
    assert ballot.encode() == entries


@pytest.mark.parametrize("length", [0, 1, 4, 6, 9])
def test_a_ballot_that_breaks_off_is_refused(length: int) -> None:
    whole = Ballot.from_values(1, {1: 7000, 3: 90_000, 4: 2}).encode()
    for entries in (whole[:length], whole[length + 1 :]):
        with pytest.raises(ProtocolError, match=f"place for each, .*; found {len(entries)} bytes"):
            Ballot.decode(1, entries)


def test_empty_sets_are_left_out() -> None:
    entries = Ballot.from_values(1, {3: 4}).encode()
    with pytest.raises(ProtocolError, match=r"one encoding: .* no empty sets"):
        Ballot.decode(1, entries[:-2] + bytes(32) + bytes([entries[-2] | 128, entries[-1]]))


@pytest.mark.parametrize(
    ("missing", "invalid", "both"), [({1}, (), 1), ((), {2}, 2), ({1, 3}, {3}, 3)]
)
def test_a_ballot_says_one_thing_of_each(missing: Any, invalid: Any, both: int) -> None:
    row = {1: 5, 2: 4} if both != 3 else {}
    with pytest.raises(ProtocolError, match=rf"found several of \({both},\)"):
        Ballot.from_values(1, row, missing, invalid)


def test_a_ballot_out_of_order_is_refused() -> None:
    for row in ((Rating(0, 1), Rating(1, 2)), (Rating(1, 3), Rating(0, 3))):
        with pytest.raises(ProtocolError, match="descending order, of equal ones the lower index"):
            Ballot(1, row)


def test_a_ballot_that_rates_a_member_twice_is_refused() -> None:
    with pytest.raises(ProtocolError, match=r"rates each member once; found \[3, 3\]"):
        Ballot(1, (Rating(3, 2), Rating(3, 1)))


def test_the_golden_ballot() -> None:
    ballot = Ballot.from_values(7, {0: 5, 127: 2**24 + 4, 3: 2**16, 2: 2**16, 9: 0})
    assert ballot.encode().hex() == GOLDEN.read_text().strip()


def test_the_golden_ballot_with_sets() -> None:
    ballot = Ballot.from_values(7, {0: 5, 3: 2**31}, missing=[1, 127], invalid=[2])
    golden = GOLDEN.with_name("ballot_with_sets.hex")
    assert ballot.encode().hex() == golden.read_text().strip()


# --- Ranges ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Commitment(0, DIGEST, DIGEST, 0), r"round lies in \[1, 18446744073709551616\)"),
        (
            lambda: Commitment(2**64, DIGEST, DIGEST, 0),
            "round lies in .*; found 18446744073709551616",
        ),
        (lambda: Commitment(1, DIGEST, DIGEST, -1), r"timestamp lies in \[0, .*; found -1"),
        (lambda: Commitment(1, DIGEST, DIGEST, 2**64), "timestamp lies in"),
        (lambda: Commitment(1, bytes(31), DIGEST, 0), "base is 32 bytes long; found 31"),
        (lambda: Commitment(1, DIGEST, bytes(33), 0), "digest is 32 bytes long; found 33"),
        (lambda: SignedCommitment(128, Commitment(1, DIGEST, DIGEST, 0), SIGNATURE), "found 128"),
        (lambda: SignedCommitment(-1, Commitment(1, DIGEST, DIGEST, 0), SIGNATURE), "found -1"),
        (
            lambda: SignedCommitment(0, Commitment(1, DIGEST, DIGEST, 0), b""),
            "65 bytes long; found 0",
        ),
        (lambda: Rating(128, 0), r"member lies in \[0, 128\); found 128"),
        (lambda: Rating(0, 2**39), r"value lies in \[0, 549755813888\); found 549755813888"),
        (lambda: Rating(0, -1), "value lies in .*; found -1"),
        (lambda: Ballot(0, ()), "round lies in"),
        (lambda: SignedBallot(128, Ballot(1, ()), SIGNATURE), "found 128"),
        (lambda: SignedBallot(0, Ballot(1, ()), bytes(64)), "65 bytes long; found 64"),
        (lambda: SignedBallot(0, Ballot(1, ())), "65 bytes long; found 0"),
        (lambda: SignedBallot(0, Ballot(1, ()), salt=bytes(31)), "salt is 32 bytes long; found 31"),
        (lambda: SignedSeal(128, 1, DIGEST, SIGNATURE), "found 128"),
        (lambda: SignedSeal(0, 0, DIGEST, SIGNATURE), "round lies in .*; found 0"),
        (lambda: SignedSeal(0, 1, bytes(20), SIGNATURE), "seal is 32 bytes long; found 20"),
        (lambda: SignedSeal(0, 1, DIGEST, bytes(66)), "65 bytes long; found 66"),
    ],
)
def test_what_is_out_of_range_is_never_made(make: Any, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        make()


def test_the_ends_of_the_ranges_are_allowed() -> None:
    commitment = Commitment(2**64 - 1, DIGEST, DIGEST, 2**64 - 1)
    assert SignedCommitment(127, commitment, SIGNATURE).commitment is commitment
    assert Rating(127, 2**39 - 1).value == 2**39 - 1
    assert SignedBallot(0, Ballot(1, ()), salt=DIGEST).signature == b""


def test_a_proposal_is_of_somebody_and_sixteen_bytes_long() -> None:
    assert Proposal(1, 2**127 | 1).encode() == b"\x80" + bytes(14) + b"\x01"
    for nobody in (0, 2**128):
        with pytest.raises(ProtocolError, match="members lies in"):
            Proposal(1, nobody)
    with pytest.raises(ProtocolError, match="signature is 65 bytes"):
        SignedProposal(0, Proposal(1, 1), b"")


def test_values_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Rating(0, 1).value = 2  # type: ignore[misc]


def test_the_phases_are_numbered_as_the_contract_numbers_them() -> None:
    assert [phase.name for phase in sorted(Phase)] == [
        "IDLE",
        "COMMIT",
        "SEAL",
        "BALLOT",
        "SELECT",
        "SELECTED",
        "PROPOSE",
    ]
    assert list(map(int, Phase)) == list(range(7))


# --- Sets of members ---------------------------------------------------------------------


@given(st.sets(members))
def test_bit_fields_and_members_invert_each_other(some: set[int]) -> None:
    assert members_in(bits(some)) == tuple(sorted(some))


@given(st.integers(0, 2**128 - 1))
def test_every_bit_field_is_that_of_its_members(field: int) -> None:
    assert bits(members_in(field)) == field


@pytest.mark.parametrize("member", [-1, 128])
def test_a_bit_field_has_no_room_for_other_members(member: int) -> None:
    with pytest.raises(ProtocolError, match=f"found {member}"):
        bits([0, member])
