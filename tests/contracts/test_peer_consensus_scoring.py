"""The contract counts and chooses as the pure Python does: bit for bit, under Hypothesis."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import boa
import pytest
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st
from vyper.compiler import compile_from_file_input
from vyper.compiler.input_bundle import FilesystemInputBundle
from vyper.compiler.settings import OptimizationLevel, Settings

from bcfl.consensus.contract.events import Refusal
from bcfl.consensus.spec.domain import MAX_MEMBERS, Ballot, Phase, bits, members_in
from bcfl.consensus.spec.scoring import Borda, seen_by_most, tally
from bcfl.consensus.spec.selection import select_winners
from bcfl.contracts.build import EVM_VERSION, HERE
from bcfl.core.errors import ProtocolError
from tests.contracts.peer_consensus_keys import raw, unpacked
from tests.contracts.peer_consensus_task import Task, block_hash

LIMIT = 2 * 127 * 127
SEED = keccak(text="a block")

#: Few different values make ties, all 32 bits make none; the ends are where comparing slips.
VALUES = st.one_of(
    st.integers(0, 2),
    st.sampled_from([0, 1, 256, 257, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1]),
    st.integers(0, 2**32 - 1),
)


class Harness:
    """The scoring modules as a contract of their own."""

    def __init__(self) -> None:
        self.env = boa.Env()
        bundle = FilesystemInputBundle([HERE, Path(__file__).parent])
        output = compile_from_file_input(
            bundle.load_file(Path("scoring_harness.vy")),
            input_bundle=bundle,
            settings=Settings(evm_version=EVM_VERSION, optimize=OptimizationLevel.GAS),
            output_formats=("bytecode",),
        )
        self.address, _ = self.env.deploy(bytecode=bytes.fromhex(output["bytecode"][2:]))

    def call(self, name: str, types: Sequence[str], arguments: Sequence[Any], out: str) -> Any:
        selector = keccak(text=f"{name}({','.join(types)})")[:4]
        computation = self.env.execute_code(
            to_address=self.address, data=selector + encode(types, arguments)
        )
        if computation.is_error:
            raise AssertionError(f"reverted: {computation.output!r}")
        return decode(out.split(), computation.output)

    def count(
        self, tally: Sequence[int], words: int, entries: bytes, size: int, others: set[int]
    ) -> tuple[list[int], tuple[int, int, int]]:
        """``borda._counted``: the sums; why it refuses or 0, who is rated and who missing."""
        types = ["uint256[8]", "uint256", "bytes", "uint256", "uint256"]
        arguments = [tally, words, entries, size, bits(others)]
        out = "uint256[8] (uint256,uint256,uint256)"
        sums, said = self.call("count", types, arguments, out)
        return list(sums), said

    def read(
        self, entries: bytes, candidates: set[int]
    ) -> tuple[tuple[int, int, int], dict[int, int]]:
        """``ranking``: as :meth:`count` without the sums; the value of who is rated."""
        out = "(uint256,uint256,uint256) uint256[]"
        arguments = [entries, bits(candidates)]
        said, values = self.call("read", ["bytes", "uint256"], arguments, out)
        return said, {} if said[0] else {j: values[j] for j in members_in(said[1])}

    def choose(
        self, totals: dict[int, int], candidates: Collection[int], kappa_ppm: int, limit: int
    ) -> tuple[int, ...]:
        """``selection`` from end to end."""
        types = ["uint256", "uint256[8]", "uint256", "uint256", "uint256", "bytes32"]
        arguments = [
            bits(candidates),
            packed(totals),
            max(candidates) // 16 + 1,
            kappa_ppm,
            limit,
            SEED,
        ]
        return members_in(self.call("choose", types, arguments, "uint256")[0])


@pytest.fixture(scope="module")
def harness() -> Harness:
    return Harness()


def packed(totals: dict[int, int], flags: int = 0) -> list[int]:
    """Totals as lanes, with the flags of some members raised."""
    words = [0] * 8
    for member, total in totals.items():
        words[member // 16] |= total << 16 * (member % 16)
    for member in members_in(flags):
        words[member // 16] |= 2**15 << 16 * (member % 16)
    return words


@st.composite
def ballots(draw: st.DrawFn) -> tuple[int, int, Ballot, set[int]]:
    """How many members there are, how many of their words are in use, a ballot, the others."""
    size = draw(st.integers(1, MAX_MEMBERS))
    # Members who left have their indices still, so that there may be more indices than members.
    indices = draw(st.integers(size, MAX_MEMBERS))
    some = draw(st.permutations(range(indices)))[: draw(st.integers(0, size - 1))]
    # What is said of each of the others: a value, missing, invalid, or nothing.
    kinds = draw(st.sampled_from(["r", "rm", "ri", "rmi-", "mi-", "-"]))
    said = draw(st.lists(st.sampled_from(kinds), min_size=len(some), max_size=len(some)))
    of = {kind: [j for j, word in zip(some, said, strict=True) if word == kind] for kind in "rmi"}
    values = draw(st.lists(VALUES, min_size=len(of["r"]), max_size=len(of["r"])))
    row = dict(zip(of["r"], values, strict=True))
    return size, -(-indices // 16), Ballot.from_values(1, row, of["m"], of["i"]), set(some)


@given(case=ballots(), before=st.integers(0, LIMIT), flags=st.integers(0, 2**128 - 1))
def test_one_ballot_gives_the_points_of_the_reference(
    harness: Harness, case: tuple[int, int, Ballot, set[int]], before: int, flags: int
) -> None:
    size, words, ballot, others = case
    flags &= 2 ** (16 * words) - 1
    start = dict.fromkeys(range(16 * words), before)
    sums, said = harness.count(packed(start, flags), words, ballot.encode(), size, others)
    points = Borda().points(ballot, others, size)
    expected = {member: before + points.get(member, 0) for member in start}
    assert sums == packed(expected, flags)
    assert said == (0, ballot.rated, ballot.missing)
    values = {rating.member: rating.value for rating in ballot.ratings}
    assert harness.read(ballot.encode(), others) == (said, values)


#: Bytes near those of a ballot: of few kinds, so that many of them fit.
BYTES = st.sampled_from([*range(7), 127, 128, 129, 130, 132, 254, 255])


@given(
    case=ballots(),
    changes=st.lists(st.tuples(st.integers(0, 50), BYTES, st.booleans()), max_size=3),
    places=st.none() | st.lists(st.sampled_from([0, 0, 1, 2, 3, 5, 255]), max_size=6),
)
def test_what_the_contract_counts_is_what_python_reads(
    harness: Harness,
    case: tuple[int, int, Ballot, set[int]],
    changes: list[tuple[int, int, bool]],
    places: list[int] | None,
) -> None:
    """Of ballots, of ballots with some bytes changed or put in, and of any places at all."""
    size, words, whole, others = case
    entries = bytearray(whole.encode())
    if places is not None:
        distinct = len({place for place in places if place < 255})
        count, others, size, words = 4 * bool(distinct) + max(distinct - 1, 0), set(range(6)), 7, 1
        entries = bytearray([*places, *[1] * count, 1, len(places)])
    for at, byte, instead in changes:
        start = len(entries) - min(at, len(entries))
        entries[start : start + instead] = bytes([byte])
    sums, said = harness.count([0] * 8, words, entries, size, others)
    read, values = harness.read(entries, others)
    try:
        ballot = Ballot.decode(1, bytes(entries))
        points = Borda().points(ballot, others, size)
    except ProtocolError:
        assert said[0]
        assert read[0]
        return
    assert read == said == (0, ballot.rated, ballot.missing)
    assert sums == packed(points)
    assert values == {rating.member: rating.value for rating in ballot.ratings}


@pytest.mark.parametrize("width", [2, 3, 4])
def test_any_one_of_the_gaps_may_need_all_bytes_and_one_must(harness: Harness, width: int) -> None:
    others, places = set(range(41)), {j: j for j in range(41)}
    widest = 256 ** (width - 1)
    for at in (0, 7, 8, 16, 29, 30, 39, None):
        gaps = [widest - 1] * 40
        if at is not None:
            gaps[at] = widest
        entries = raw(places, 2**32 - 1, gaps, width)
        _, said = harness.count([0] * 8, 3, entries, 42, others)
        read, values = harness.read(entries, others)
        assert said == read == (Refusal.LENGTH * (at is None), bits(others), 0)
        assert at is None or values[0] == 2**32 - 1 + sum(gaps) + 40


@pytest.mark.parametrize("size", [1, 2, 6, 7, 8, 16, 17, 31, 32, 33, 127, 128])
@pytest.mark.parametrize("distinct", [1, 2, 1000])
def test_full_ballots_of_every_length_around_the_words(
    harness: Harness, size: int, distinct: int
) -> None:
    ballot = Ballot.from_values(1, {j: 37 * j % distinct for j in range(size - 1)})
    others = set(range(size - 1))
    sums, said = harness.count([0] * 8, -(-size // 16), ballot.encode(), size, others)
    assert sums == packed(Borda().points(ballot, others, size))
    assert said == (0, 2 ** (size - 1) - 1, 0)


@st.composite
def standings(draw: st.DrawFn) -> tuple[dict[int, int], list[int], int]:
    """Totals of all, the candidates, and κ in parts per million."""
    candidates = draw(st.lists(st.integers(0, 127), unique=True, min_size=1, max_size=MAX_MEMBERS))
    points = draw(
        st.sampled_from([st.just(0), st.integers(0, 2), st.integers(0, LIMIT), st.just(LIMIT)])
    )
    totals = {member: draw(points) for member in range(128)}
    return totals, candidates, draw(st.integers(1, 999_999))


@given(case=standings())
def test_the_winners_are_those_of_the_reference(
    harness: Harness, case: tuple[dict[int, int], list[int], int]
) -> None:
    totals, candidates, kappa_ppm = case
    expected = select_winners(totals, candidates, set(candidates), kappa_ppm, SEED)
    assert harness.choose(totals, candidates, kappa_ppm, 2 * 128 * 128) == expected
    highest = max(totals[member] for member in candidates)
    assert harness.choose(totals, candidates, kappa_ppm, highest) == expected


@given(field=st.integers(0, 2**128 - 1))
def test_lanes_spread_gather_and_count_bits(harness: Harness, field: int) -> None:
    flags, gathered, count = harness.call("bits", ["uint256"], [field], "uint256 uint256 uint256")
    low = field & 0xFFFF
    assert flags == sum(2**15 << 16 * i for i in members_in(low))
    assert gathered == low
    assert count == field.bit_count()


@st.composite
def rounds(draw: st.DrawFn) -> tuple[int, int, list[int], dict[int, dict[int, int]]]:
    """Members, κ, who commits in which order, and the rows of those who vote."""
    members = draw(st.integers(2, 9))
    committed = draw(st.lists(st.integers(0, members - 1), unique=True, min_size=1))
    voters = draw(st.lists(st.sampled_from(committed), unique=True, min_size=1))
    rows = {}
    for voter in voters:
        others = [j for j in committed if j != voter]
        rated = draw(st.lists(st.sampled_from(others), unique=True)) if others else []
        rows[voter] = {j: draw(st.integers(0, 3)) for j in rated}
    return members, draw(st.integers(1, 999_999)), committed, rows


@given(case=rounds())
def test_a_whole_round_ends_as_the_reference_says(
    case: tuple[int, int, list[int], dict[int, dict[int, int]]],
) -> None:
    members, kappa_ppm, committed, rows = case
    task = Task(members, kappa_ppm=kappa_ppm)
    task.open()
    task.commit(committed)
    task.travel(101)
    task.vote(rows)
    task.travel(101)
    seed = task.seed()
    task.select()
    ballots = {i: Ballot.from_values(1, row) for i, row in rows.items()}
    totals = tally(Borda(), ballots, set(committed), members)
    assert task.scores() == [totals.get(i, 0) for i in range(members)]
    seen = seen_by_most(ballots, set(committed))
    winners = select_winners(totals, committed, seen, kappa_ppm, seed)
    if not winners or 2 * len(ballots) <= len(committed):
        assert len(task.events("Voided")) == 1
        return
    event = task.events("Selected")[0]
    assert unpacked(event["scores"], members) == task.scores()
    assert members_in(event["winners"]) == winners
    assert event["seed"] == seed


ALIKE = {i: {j: 7 for j in range(5) if j != i} for i in range(5)}


def tied_round() -> Task:
    """Five committed in some order, all with the same points, two places; to be selected."""
    task = Task(5, kappa_ppm=400_000)
    task.open()
    task.commit([3, 1, 4, 0, 2])
    task.within_a_block()
    task.vote(ALIKE)
    return task


def test_among_equals_the_smaller_lots_win() -> None:
    task = tied_round()
    task.select()
    expected = select_winners({}, range(5), set(range(5)), 400_000, task.seed())
    assert members_in(task.state.winners) == expected


def test_the_last_ballot_decides_as_select_does_unless_it_is_in_the_last_commitments_block() -> (
    None
):
    later, at_once = tied_round(), Task(5, kappa_ppm=400_000)
    assert later.state.phase is Phase.SELECT
    later.select()
    at_once.open()
    at_once.commit([3, 1, 4, 0, 2])
    at_once.vote(ALIKE)
    assert at_once.state == later.state
    assert at_once.events("Selected") == later.events("Selected")


def test_lots_are_drawn_with_the_hash_of_the_last_commitments_block() -> None:
    task = tied_round()
    seed = task.seed()
    # Nobody gets another by committing nothing, by voting late, or by selecting late.
    with pytest.raises(Exception, match="not in this phase"):
        task.call("commit", 1, [])
    task.mine(200)
    task.select()
    assert task.events("Selected")[0]["seed"] == seed


def test_an_empty_batch_asks_for_no_other_seed() -> None:
    task = Task(5, kappa_ppm=400_000)
    task.open()
    task.commit([3, 1, 4, 0])
    seed = task.seed()
    task.call("commit", 1, [])
    task.call("commit", 1, [task.commitment(3), task.commitment(1, version=3)])
    task.travel(101)
    task.vote({i: {j: 7 for j in (0, 1, 3, 4) if j != i} for i in (0, 1, 3, 4)})
    task.select()
    assert task.events("Selected")[0]["seed"] == seed


@pytest.mark.parametrize("blocks", [256, 257, 1000])
def test_of_a_round_long_past_a_later_block_every_256_decides(blocks: int) -> None:
    task = tied_round()
    first = task.env.evm.patch.block_number
    while task.seed() != block_hash(first):
        first -= 1
    task.mine(blocks)
    task.select()
    behind = task.env.evm.patch.block_number - 1 - first
    seed = task.events("Selected")[0]["seed"]
    assert seed in {block_hash(first + 256 * k) for k in range(behind // 256 + 2)}


def test_in_the_block_of_the_last_commitment_nothing_is_selected() -> None:
    task = tied_round()
    task.within_a_block()
    with pytest.raises(Exception, match="wait for a block"):
        task.call("select")
    task.call("select")


def test_a_tie_among_128_is_broken_within_a_block() -> None:
    members = list(range(128))
    harness = Harness()
    harness.env.enable_gas_profiling()
    before = harness.env.get_gas_used()
    expected = select_winners({}, members, set(members), 500_000, SEED)
    assert harness.choose({}, members, 500_000, 0) == expected
    assert harness.env.get_gas_used() - before < 10_000_000
