"""The nouns and rules of the model marketplace: what crosses between its roles and the chain.

PROTOCOL, System B; arXiv 1807.02515, pp. 2-3 and contract events 1 and 2.
``contracts/ModelMarketplace.vy`` enforces the same rules; what is computed here is its
reference, and equal to it by test.

How a model is opened
---------------------
**[reading]** "Before payment the initiator has no access": the published bytes are encrypted,
and payment and disclosure are one step on chain. (The alternative, a key sent after payment,
makes the contributor a party to trust.) The model's key is made of two parts, ``secret`` and
``shared``, 32 random bytes each; ``bcfl.keys.sealing`` is the cryptography.

- ``secret``: its hash is submitted with the model; ``disclose`` publishes it and pays.
- ``shared``: encrypted to the initiator (whose public key is in the task description) when the
  model is submitted, in a way that everybody who knows ``shared`` can repeat and so check.
  Strangers read the secret on the chain and still lack this part; the initiator has it, and
  lacks the secret until it has paid. In a task that is *not* for members only, ``shared`` is
  published in the clear, and once the model is paid for everybody can open it.

After the draw the contributor *shares* both parts, encrypted to each member of the panel.
Before it votes, a verifier checks that (1) the secret has the committed hash, (2) the
initiator's share is the encryption of this ``shared``, (3) both together open the blob. Hence
whatever ``disclose`` publishes opens this very model for the initiator. The blob names its
contributor, so that a stranger who submits the same bytes is found out.

The initiator *grants* a panel, by a digest on chain before the contributor shares, the samples
that the model is measured by: until the model is in, only their digest is known. A panel fuses
the new model with those bought before it was submitted. In a task for members only it cannot
open them; there the grant also has their ``shared`` parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from bcfl.core.errors import ConfigurationError

MILLION = 1_000_000
MAX_SEATS = 10  #: verifiers on one panel
LEAST_WINDOW_S = 600  #: 50 blocks of Ethereum; ``contracts/market_terms.vy`` says why
LONGEST_WINDOW_S = 30 * 86_400
MOST_REDRAWS = 10  #: of vanished verifiers, a submission


class MarketPhase(IntEnum):
    """Where a submission stands, as the contract says."""

    NONE = 0  #: there is no such submission
    DRAW = 1  #: waits for its panel
    GRANT = 2  #: waits for the initiator, who owes the panel its measuring samples
    SHARE = 3  #: waits for the contributor's keys for the panel
    SEAL = 4  #: waits for sealed reports
    REVEAL = 5  #: waits for the reports themselves
    DISCLOSE = 6  #: accepted; waits for the secret
    PAID = 7
    REJECTED = 8
    VOID = 9
    JUNK = 10  #: no model, or a copy, as most reports say: the stake is burnt

    @property
    def is_final(self) -> bool:
        """Whether nothing can happen to the submission any more."""
        return self >= MarketPhase.PAID


@dataclass(frozen=True, slots=True)
class TaskRules:
    """What is paid, and for what. Raises ConfigurationError where the contract would refuse."""

    reward: int  #: wei for each accepted model
    fee: int  #: wei for each report, whatever it says
    mafr: int  #: minimum acceptable fitness rate, parts per million; a fitness has to exceed it
    seats: int = 5  #: verifiers on a panel
    quorum: int = 3  #: reports that suffice for a verdict
    redraws: int = 2  #: how often vanished verifiers are replaced
    members_only: bool = False  #: accepted models are for the initiator and its panels alone

    def __post_init__(self) -> None:
        _expect("reward", self.reward, 1, 2**96 - 1)
        _expect("fee", self.fee, 1, 2**96 - 1)
        _expect("mafr", self.mafr, 0, MILLION - 1)
        _expect("seats", self.seats, 1, MAX_SEATS)
        _expect("quorum", self.quorum, 1, self.seats)
        _expect("redraws", self.redraws, 0, MOST_REDRAWS)


@dataclass(frozen=True, slots=True)
class Conditions:
    """How many may try, at what stake, and how long everything may take.

    Raises ConfigurationError where the contract would refuse.
    """

    submissions: int  #: how many models are judged at most
    stake: int  #: wei; forfeited by who keeps the keys back, or submits junk; see ``least_stake``
    deadline: int  #: seconds, chain time; the last moment to submit
    draw_window: int = 3600  #: seconds that the panel may take; see ``least_draw_window_s``
    answer_window: int = 3600  #: seconds for each turn of the contributor or the initiator
    report_window: int = 3600  #: seconds to seal a report, and again to reveal it

    def __post_init__(self) -> None:
        _expect("submissions", self.submissions, 1, 2**16 - 1)
        _expect("stake", self.stake, 0, 2**96 - 1)
        _expect("deadline", self.deadline, 1, 2**40 - 1)
        for name in ("draw_window", "answer_window", "report_window"):
            _expect(name, getattr(self, name), LEAST_WINDOW_S, LONGEST_WINDOW_S)


@dataclass(frozen=True, slots=True)
class Task:
    """A task as the contract keeps it."""

    initiator: str  #: checksummed address
    description: bytes  #: SHA-256 of the task description
    rules: TaskRules
    conditions: Conditions
    free: int  #: wei of the deposit that nothing is set aside from
    opened: int  #: submissions ever made
    taken: int  #: submissions that keep a place among ``conditions.submissions``
    pending: int  #: submissions without an outcome
    paid: int  #: models bought
    drawing: int = 0  #: submissions that wait for their panel: nobody leaves the pool meanwhile

    def is_closed(self, now: int) -> bool:
        """Whether no submission is taken any more, for good; ``now`` in seconds, chain time.

        After the deadline, or when as many as were asked for have an outcome.
        """
        complete = self.pending == 0 and self.taken == self.conditions.submissions
        return complete or now > self.conditions.deadline

    def is_over(self, now: int) -> bool:
        """Whether nothing will happen to the task any more, but that its initiator collects."""
        return self.pending == 0 and self.is_closed(now)


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission as the contract keeps it, with what time alone has changed."""

    task: int
    contributor: str  #: checksummed address
    key_commitment: bytes  #: keccak256 of the secret
    panel: tuple[str | None, ...]  #: by seat; None where nobody sits
    reserved: int  #: wei set aside for it, beside its stake
    phase: MarketPhase
    cause: MarketPhase  #: the phase that failed for good; NONE: none did
    redraws: int
    short: bool  #: when its draw was armed, the pool was too small for the panel
    deadline: int  #: seconds; the last moment to do what ``phase`` waits for
    anchor: int  #: the block whose hash draws
    first: int  #: where the pool began when the draw was armed
    length: int  #: how many places it had
    sealed: int  #: bit field over the seats
    revealed: int  #: bit field over the seats
    above: int  #: bit field over the seats: more than MAFR
    junk: int  #: bit field over the seats: no model, or a copy
    ungranted: int  #: bit field over the seats: not what the initiator had promised

    def seat_of(self, verifier: str) -> int | None:
        """Where that verifier sits, None if it does not."""
        return self.panel.index(verifier) if verifier in self.panel else None


@dataclass(frozen=True, slots=True)
class MarketAccount:
    """What the market knows of an address."""

    credit: int  #: wei that ``withdraw`` pays out
    number: int  #: as a verifier, from 1, for ever; 0: never registered

    @property
    def is_registered(self) -> bool:
        """Whether it may enter pools."""
        return self.number != 0


@dataclass(frozen=True, slots=True)
class PoolPlace:
    """Where a verifier stands in the pool of one task."""

    number: int  #: as in ``MarketAccount``; 0: it was never in this pool
    busy: int  #: panels of this task that wait for its report
    position: int  #: its place in the row; 0: it is not in the pool

    @property
    def is_in(self) -> bool:
        """Whether it can be drawn."""
        return self.position != 0


def submission_cost(rules: TaskRules) -> int:
    """Wei set aside for one submission: the reward, and a fee for every seat."""
    return rules.reward + rules.seats * rules.fee


def deposit(rules: TaskRules, conditions: Conditions) -> int:
    """Wei that an initiator deposits at launch."""
    return conditions.submissions * submission_cost(rules)


def least_stake(rules: TaskRules) -> int:
    """The least stake in wei: half of the reward, rounded up, and no less than a panel's fees.

    So it does not pay to look at panels and let bad ones go, nor to submit junk for the fees of
    verifiers of one's own.
    """
    return max(rules.seats * rules.fee, (rules.reward + 1) // 2)


def least_draw_window_s(draw_delay: int) -> int:
    """The least window for a draw that waits ``draw_delay`` blocks."""
    return LEAST_WINDOW_S + 24 * draw_delay


def bond(rules: TaskRules, conditions: Conditions, least: int) -> int:
    """Wei that a verifier deposits to enter the task's pool.

    ``seats - quorum + 1`` verifiers that look at a model and then vanish keep it from being
    bought. Together they deposit the price of all models that can be under way at once, so
    that vanishing is never cheaper than buying.

    Parameters
    ----------
    rules, conditions
        The task's.
    least : int
        The marketplace's own least bond, wei.
    """
    price = conditions.submissions * rules.reward
    return max(least, -(-price // (rules.seats - rules.quorum + 1)))


def _expect(name: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise ConfigurationError(
            f"{name} lies in [{lowest}, {highest}]; found {value}: choose another"
        )
