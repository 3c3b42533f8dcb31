"""What a verifier reports, how it is sealed, and when a model is accepted.

PROTOCOL, System B, contract event 2. The contract checks the same seal and counts the same
majority (``contracts/market_reports.vy``, ``contracts/market_verdict.vy``).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from bcfl.core.errors import ProtocolError
from bcfl.market.spec.terms import MILLION


class Reason(IntEnum):
    """Why a verifier could not measure a model; with any but ``MEASURED`` its fitness is 0."""

    MEASURED = 0
    UNOPENABLE = 1  #: no blob of that digest, or no key for this verifier, or it does not open
    KEY_MISMATCH = 2  #: what was shared is not what disclosure would publish
    MALFORMED = 3  #: no model, or one outside the limits, or not of this contributor
    DUPLICATE = 4  #: a model that was bought before
    UNGRANTED = 5  #: what the initiator opened to the panel is not what it had promised

    @property
    def is_junk(self) -> bool:
        """Whether it is the contributor's doing: its stake is forfeited if most say so."""
        return self not in (Reason.MEASURED, Reason.UNGRANTED)


@dataclass(frozen=True, slots=True)
class Report:
    """What a verifier found."""

    fitness: int  #: parts per million
    reason: Reason = Reason.MEASURED

    def __post_init__(self) -> None:
        if not 0 <= self.fitness <= MILLION:
            raise ProtocolError(f"a fitness lies in [0, {MILLION}] ppm; found {self.fitness}")
        if self.reason is not Reason.MEASURED and self.fitness != 0:
            raise ProtocolError(
                f"the fitness of a model that was not measured ({self.reason.name}) is 0; "
                f"found {self.fitness}"
            )


def is_accepted(fitnesses: Sequence[int], mafr: int, quorum: int) -> bool:
    """Contract event 2: "most of them are above MAFR", and there are enough of them.

    **[reading]** most of the reports that were made, which are at least a quorum. (The
    alternative, most of the verifiers that were drawn, makes vanishing a vote against.)

    Parameters
    ----------
    fitnesses : sequence of int
        Of the reports made, parts per million. Vanished verifiers do not count.
    mafr : int
        Parts per million. A fitness equal to it is not above it.
    quorum : int
        With fewer reports there is no verdict.
    """
    above = sum(fitness > mafr for fitness in fitnesses)
    return len(fitnesses) >= quorum and 2 * above > len(fitnesses)


def is_junk(reports: Sequence[Report]) -> bool:
    """Whether most of the reports made say that it is no model, or a copy."""
    return 2 * sum(report.reason.is_junk for report in reports) > len(reports)


def measuring_set_of(number: int, sets: int) -> int:
    """Which of a task's ``sets`` secret measuring sets judges its submission ``number``, from 1.

    Who has sat on a panel can pass its set on. With as many sets as submissions every model is
    judged by one that nobody has seen; with fewer, all later submissions share the last one.

    **[reading]** PROTOCOL asks for one secret half; more are the initiator's choice.
    """
    if number < 1 or sets < 1:
        raise ProtocolError(
            f"submissions count from 1 and there is a measuring set; found {number} of {sets}"
        )
    return min(number, sets) - 1


def seal(submission: bytes, verifier: str, report: Report, salt: bytes) -> bytes:
    """The promise of a report: SHA-256 of five words, as ``abi_encode`` lays them out.

    Parameters
    ----------
    submission : bytes
        Digest of the submitted blob.
    verifier : str
        0x…; with it in the hash, nobody can reveal another's seal.
    report : Report
    salt : bytes
        32 random bytes, kept until the report is revealed.
    """
    _expect_word("submission", submission)
    _expect_word("salt", salt)
    address = bytes.fromhex(verifier.removeprefix("0x"))
    if len(address) != 20:
        raise ProtocolError(f"an address is 20 bytes long; found {len(address)}")
    numbers = (report.fitness.to_bytes(32, "big"), int(report.reason).to_bytes(32, "big"))
    return hashlib.sha256(b"".join((submission, bytes(12), address, *numbers, salt))).digest()


def to_ppm(rate: float) -> int:
    """A rate in [0, 1] as parts per million, rounded; outside it the nearest end, NaN is 0."""
    if math.isnan(rate):
        return 0
    return round(min(max(rate, 0.0), 1.0) * MILLION)


def _expect_word(name: str, value: bytes) -> None:
    if len(value) != 32:
        raise ProtocolError(f"{name} is 32 bytes long; found {len(value)}")
