"""One task on a chain of its own, as the tests drive it: the committed bytecode in titanoboa.

The chain is py-evm without transactions around the calls: fast, and reverts come back as
:class:`Reverted` with the contract's reason. Gas is measured elsewhere, from receipts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

import boa
from eth_abi.abi import decode, encode
from eth_account.signers.local import LocalAccount
from eth_utils.abi import collapse_if_tuple
from eth_utils.crypto import keccak

from bcfl.consensus.contract.batches import (
    ballots_in,
    commitments_in,
    pack_ballots,
    pack_commitments,
)
from bcfl.consensus.contract.events import Refusal
from bcfl.consensus.spec.domain import Ballot, Commitment, Phase, RoundState, TypedDataDomain, bits
from bcfl.contracts import artifact
from tests.contracts.peer_consensus_keys import (
    Signing,
    Words,
    account,
    revealed,
    salt,
    seal_of,
    unpacked,
)

GENESIS = sha256(b"genesis").digest()
RULES = sha256(b"rules").digest()
WINDOW_S = 100
START = 1_700_000_000
COORDINATOR = account(1000).address
STRANGER = account(2000)
#: What packs the rows of a batch.
PACKS: dict[str, Any] = {"commit": pack_commitments, "cast_ballots": pack_ballots}
#: Where what is forfeited goes.
NOBODY = "0x000000000000000000000000000000000000dEaD"


def words_of(reason: Refusal) -> str:
    """What a direct call that counts for nothing reverts with, as a pattern."""
    return f"consensus: refused, see Refusal {reason:d}$"


class Reverted(Exception):
    """A call that the contract refused; the text is its reason, empty where it gave none."""


@dataclass(frozen=True)
class Log:
    """An event."""

    name: str
    fields: Mapping[str, Any]


def packed(name: str, arguments: Sequence[Any]) -> Sequence[Any]:
    """The arguments of a call, with the rows of a batch as the contract takes them."""
    if name not in PACKS or isinstance(arguments[1], bytes):
        return arguments
    return (arguments[0], *PACKS[name](arguments[1]))


def each(log: Log) -> list[Log]:
    """An event; where it is of a batch, one for each entry that counts, in the words of that."""
    names = {"CommitmentsRelayed": "Committed", "BallotsRelayed": "BallotCast"}
    if log.name not in names:
        return [log]
    round_, batch, counted = (log.fields[name] for name in ("round", "batch", "counted"))
    rows: list[dict[str, Any]]
    if log.name == "CommitmentsRelayed":
        rows = [{"member": i, "timestamp": t, "digest": d} for i, t, d in commitments_in(batch)]
    else:
        rows = [{"member": member, "entries": said} for member, said in ballots_in(batch)]
    assert 0 < counted < 1 << len(rows)
    good = [row for place, row in enumerate(rows) if counted >> place & 1]
    return [Log(names[log.name], {"round": round_, **row}) for row in good]


@cache
def block_hash(number: int) -> bytes:
    """The hash of that block of a task's chain."""
    return sha256(b"block %d" % number).digest()


def digest_of(member: int, round_: int, version: int = 0) -> bytes:
    """A digest as SHA-256 gives it."""
    return sha256(f"delta {member} {round_} {version}".encode()).digest()


def untraced() -> boa.Env:
    """A chain without the tracers that titanoboa wraps, for each chain once more, around opcodes.

    All chains of a process share their opcodes: the hundredth would write a word of storage
    through a hundred of them.
    """
    env = boa.Env()
    opcodes = env.evm.vm.state.computation_class.opcodes
    for number, wrapped in ((0x20, "sha3"), (0x55, "sstore")):
        while hasattr(opcodes[number], wrapped):
            opcodes[number] = getattr(opcodes[number], wrapped)
    return env


class Task:
    """A deployed ``PeerConsensus`` whose members' keys are all at hand."""

    def __init__(
        self,
        members: int = 4,
        *,
        kappa_ppm: int = 500_000,
        quorum: int = 1,
        sealed: bool = False,
        stake: int = 0,
        accounts: Sequence[str] | None = None,
        windows: tuple[int, int] = (WINDOW_S, WINDOW_S),
        contract: str = "PeerConsensus",
        terms: Sequence[Any] | None = None,
        value: int = 0,
    ) -> None:
        self.env = untraced()
        self.env.evm.patch.timestamp = START
        self.env.evm.patch.block_number = 1
        self.keys = [account(i) for i in range(members)]
        if accounts is None:
            accounts = [] if stake else [key.address for key in self.keys]
        compiled = artifact(contract)
        self._functions = {
            entry["name"]: entry for entry in compiled.abi if entry["type"] == "function"
        }
        self._events = {
            keccak(text=_signature(entry)): entry
            for entry in compiled.abi
            if entry["type"] == "event"
        }
        constructor = next(entry for entry in compiled.abi if entry["type"] == "constructor")
        arguments = encode(
            _types(constructor["inputs"]),
            [accounts, GENESIS, RULES, kappa_ppm, quorum, *windows, *(terms or (sealed, stake))],
        )
        self.env.set_balance(COORDINATOR, value)
        address, computation = self.env.deploy(
            sender=COORDINATOR, bytecode=compiled.bytecode + arguments, value=value
        )
        if computation.is_error:
            raise Reverted(_reason(computation.output))
        self.address = str(address)
        self._committed_in = 0
        self._state: tuple[int, RoundState] | None = None  #: with the time that it was asked at
        self.logs = [self._decoded(entry) for entry in computation.get_raw_log_entries()]
        self.signing = Signing(TypedDataDomain(self.env.evm.patch.chain_id, self.address))

    # -- the chain ----------------------------------------------------------------------------

    def seed(self) -> bytes:
        """The hash of the block of the round's last commitment, while it is recent."""
        return block_hash(self._committed_in)

    @property
    def now(self) -> int:
        """Chain time, seconds."""
        return int(self.env.evm.patch.timestamp)

    def travel(self, seconds: int) -> None:
        """Let time pass."""
        self.env.evm.patch.timestamp += seconds

    def mine(self, blocks: int) -> None:
        """Let blocks go by; each one's hash follows from its number."""
        number = self.env.evm.patch.block_number + blocks
        self.env.evm.patch.block_number = number
        self.env.evm.patch.prev_hashes = [
            block_hash(number - depth) for depth in range(1, min(number, 257))
        ]

    def call(
        self, name: str, *arguments: Any, sender: str | LocalAccount = COORDINATOR, value: int = 0
    ) -> Any:
        """Call the contract; the answer, or :class:`Reverted`. Events go to ``logs``.

        Batches may come as rows.
        """
        function = self._functions[name]
        modifies = function["stateMutability"] not in ("view", "pure")
        self._state = None if modifies else self._state
        self.mine(1)
        computation = self.env.execute_code(
            to_address=self.address,
            sender=getattr(sender, "address", sender),
            data=self.data(name, *packed(name, arguments)),
            value=value,
            is_modifying=modifies,
        )
        if computation.is_error:
            raise Reverted(_reason(computation.output))
        entries = computation.get_raw_log_entries()
        logs = [log for entry in entries for log in each(self._decoded(entry))]
        if any(log.name == "Committed" for log in logs):
            self._committed_in = self.env.evm.patch.block_number
        self.logs += logs
        answer = decode(_types(function["outputs"]), computation.output)
        return answer[0] if len(answer) == 1 else answer

    def data(self, name: str, *arguments: Any) -> bytes:
        """The bytes of a call."""
        function = self._functions[name]
        selector = keccak(text=_signature(function))[:4]
        return selector + encode(_types(function["inputs"]), arguments)

    def tries(self, name: str, *arguments: Any, **options: Any) -> bool:
        """Whether the call succeeds; if not, the contract must say why."""
        try:
            self.call(name, *arguments, **options)
        except Reverted as error:
            if not str(error):
                raise
            return False
        return True

    def refused(self, name: str, *arguments: Any, **options: Any) -> list[tuple[int, Refusal]]:
        """Call the contract, which must not revert; whom it passed over, and why."""
        before = len(self.events("Refused"))
        self.call(name, *arguments, **options)
        return [
            (event["member"], Refusal(event["reason"])) for event in self.events("Refused")[before:]
        ]

    def events(self, name: str) -> list[Mapping[str, Any]]:
        """The fields of all events of that name so far."""
        return [log.fields for log in self.logs if log.name == name]

    def _decoded(self, entry: tuple[int, bytes, Sequence[int], bytes]) -> Log:
        _, _, topics, data = entry
        event = self._events[topics[0].to_bytes(32, "big")]
        indexed = [field for field in event["inputs"] if field["indexed"]]
        plain = [field for field in event["inputs"] if not field["indexed"]]
        fields = {
            field["name"]: decode([field["type"]], topic.to_bytes(32, "big"))[0]
            for field, topic in zip(indexed, topics[1:], strict=True)
        }
        values = decode(_types(plain), data)
        fields |= {field["name"]: value for field, value in zip(plain, values, strict=True)}
        return Log(event["name"], fields)

    # -- what the contract says ---------------------------------------------------------------

    @property
    def state(self) -> RoundState:
        """``state()``; asked once, until somebody calls or time passes."""
        if self._state is None or self._state[0] != self.now:
            round_, phase, *rest = self.call("state")
            self._state = self.now, RoundState(round_, Phase(phase), *rest)
        return self._state[1]

    def scores(self, members: int | None = None) -> list[int]:
        """The doubled points of the first ``members`` members."""
        return unpacked(self.call("scores"), members or len(self.keys))

    # -- what members say ---------------------------------------------------------------------

    def commitment(self, member: int, version: int = 0, **changes: Any) -> Words:
        """That member's signed commitment for the current round, or a changed one."""
        return self.signing.commitment(
            member, self.keys[member], self.unsigned(member, version, **changes)
        )

    def unsigned(self, member: int, version: int = 0, **changes: Any) -> Commitment:
        """What :meth:`commitment` signs."""
        state = self.state
        fields: dict[str, Any] = {
            "round": state.round,
            "base": state.model,
            "digest": digest_of(member, state.round, version),
            "timestamp": self.now,
        }
        return Commitment(**fields | changes)

    def ballot(
        self,
        member: int,
        values: Mapping[int, int],
        round_: int | None = None,
        missing: Iterable[int] = (),
        invalid: Iterable[int] = (),
    ) -> Words:
        """That member's signed ballot for the current round."""
        ballot = Ballot.from_values(round_ or self.state.round, values, missing, invalid)
        return self.signing.ballot(member, self.keys[member], ballot)

    def raw_ballot(self, member: int, entries: bytes) -> Words:
        """A signed ballot of whatever bytes."""
        return self.signing.entries(member, self.keys[member], self.state.round, entries)

    def sealed_ballot(self, member: int, values: Mapping[int, int]) -> tuple[Words, Words]:
        """That member's signed seal, and what it reveals."""
        entries = Ballot.from_values(self.state.round, dict(values)).encode()
        mine = salt(member)
        seal = self.signing.seal(
            member, self.keys[member], self.state.round, seal_of(entries, mine)
        )
        return seal, revealed(member, entries, mine)

    # -- phases of a round --------------------------------------------------------------------

    def open(self, expected: Iterable[int] | None = None) -> int:
        """Open a round; its number."""
        field = self.call("active") if expected is None else bits(expected)
        self.call("open_round", self.state.model, field)
        return self.state.round

    def commit(self, members: Iterable[int] | None = None) -> None:
        """Relay commitments, of everybody if nothing else is said."""
        chosen = range(len(self.keys)) if members is None else members
        self.call("commit", self.state.round, [self.commitment(i) for i in chosen])

    def vote(self, values: Mapping[int, Mapping[int, int]]) -> None:
        """Relay ballots: by member, the values by rated member."""
        self.call(
            "cast_ballots",
            self.state.round,
            [self.ballot(member, row) for member, row in values.items()],
        )

    def vote_fully(self, favourites: Sequence[int] | None = None) -> None:
        """Everybody who committed rates everybody else, in the same order."""
        committed = [i for i in range(len(self.keys)) if self.state.committed >> i & 1]
        order = list(favourites or committed)
        value = {member: 1000 - place for place, member in enumerate(order)}
        self.vote({i: {j: value[j] for j in committed if j != i} for i in committed})

    def select(self, sender: str | LocalAccount = STRANGER) -> None:
        """Select, unless the last ballot has done it."""
        if self.state.phase == Phase.SELECT:
            self.call("select", sender=sender)

    def within_a_block(self) -> None:
        """Let the next call be in the block of the last commitment: no ballot decides there."""
        _ = self.state  # now, as every question takes a block here
        self.mine(self._committed_in - self.env.evm.patch.block_number - 1)

    def digests(self) -> list[tuple[int, bytes]]:
        """All commitments of the current round, in the order of their events."""
        return [
            (event["member"], event["digest"])
            for event in self.events("Committed")
            if event["round"] == self.state.round
        ]

    def close(self, expected: int = 0) -> bytes:
        """Close the round with some model, whose digest it gives; and open the next."""
        model = sha256(b"model %d" % self.state.round).digest()
        self.call("close_round", self.state.round, model, expected)
        return model

    def play(self) -> None:
        """One whole round in which everybody takes part."""
        self.open()
        self.commit()
        self.vote_fully()
        self.select()
        self.close()


def staked(members: int = 4, stake: int = 10**18, **rules: Any) -> Task:
    """A task with a stake, which all members have paid."""
    task = Task(members, stake=stake, **rules)
    for key in task.keys:
        task.env.set_balance(key.address, 10 * stake)
        task.call("join", sender=key, value=stake)
    return task


def _types(fields: Sequence[Mapping[str, Any]]) -> list[str]:
    return [collapse_if_tuple(dict(field)) for field in fields]


def _signature(entry: Mapping[str, Any]) -> str:
    return f"{entry['name']}({','.join(_types(entry['inputs']))})"


def _reason(output: bytes) -> str:
    """The text of ``Error(string)``, with which Vyper's asserts revert."""
    if output[:4] != keccak(text="Error(string)")[:4]:
        return ""
    return str(decode(["string"], output[4:])[0])
