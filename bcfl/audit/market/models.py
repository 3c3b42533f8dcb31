"""What the contract cannot see: whether models open, reports are right, and the fused model is.

With the same functions that verifiers judge by, from chain and blobs alone. What is sealed is
opened with the keys that the reader has; of a simulation, whoever knows its seed has them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from numpy.typing import NDArray

from bcfl.audit.findings import STORE, Finding
from bcfl.audit.market.chain_checks import Note
from bcfl.audit.market.evidence import Evidence, contributor, initiator, place_of, verifier
from bcfl.audit.models import Measure
from bcfl.core.errors import (
    ArchitectureError,
    BcflError,
    BlobMissing,
    CodecError,
    ConfigurationError,
    ModelError,
    SealError,
)
from bcfl.core.model import model_digest
from bcfl.market.contract.events import Reported
from bcfl.market.roles.history import MarketHistory, SubmissionLog
from bcfl.market.roles.opening import fetch_offer, open_model, shared_in_the_clear
from bcfl.market.spec.model_blob import TrainedModel
from bcfl.market.spec.offer import MAX_GRANT_BYTES, PIECE_BYTES, ModelKeys
from bcfl.market.spec.report import Reason, Report
from bcfl.market.spec.terms import MarketPhase

if TYPE_CHECKING:
    from bcfl.market.fusion.fused_model import FusedModel
    from bcfl.market.roles.assessment import Assessment
    from bcfl.market.verification_set import VerificationSet

#: Processors add up in different orders: two samples of a hundred may change sides.
_TOLERANCE_PPM: Final = 20_000
_MOST_SEALED_BYTES: Final = MAX_GRANT_BYTES + (1 << 16)
_MOST_FUSION_BYTES: Final = 1 << 26


@dataclass(slots=True)
class Fused:
    """The fused model after one sale, made anew."""

    models: int
    digest: str
    accuracy: float | None  #: on the measuring part; None where that stays sealed
    arrays: Mapping[str, NDArray[Any]]
    measured: Mapping[str, float] = field(default_factory=dict)  #: on the run's test part


@dataclass(slots=True)
class Opened:
    """What came of opening blobs."""

    findings: list[Finding] = field(default_factory=list)
    examined: int = 0  #: reports that were held against a measurement
    sizes: dict[bytes, int] = field(default_factory=dict)  #: of sealed models, bytes
    fused: dict[bytes, Fused] = field(default_factory=dict)  #: by submission, of what was sold
    strategy: str = ""  #: of fusion, as the task's description says
    least_gain_ppm: int = 0
    sealed: str = ""  #: why models or reports stay closed, where they do
    unmeasured: str = ""  #: why no accuracy was measured anew


def check_models(
    evidence: Evidence, history: MarketHistory, note: Note, measure: Measure | None = None
) -> Opened:
    """Open, examine, fuse: every submission of the task, in order."""
    opened = Opened()
    reader = _Reader(evidence, history, note, opened)
    try:
        reader.read(measure)
    except ModuleNotFoundError as error:
        opened.sealed = f"{error}: models are opened and measured with bcfl[torch]"
    return opened


class _Reader:
    def __init__(
        self, evidence: Evidence, history: MarketHistory, note: Note, opened: Opened
    ) -> None:
        self._evidence, self._history = evidence, history
        self._note, self._opened = note, opened
        self._store = evidence.blobs
        self._launched = history.launched[evidence.told.task]
        self._keys = {account.address: account for account in evidence.keys}
        self._lost: set[bytes] = set()  # submissions of which a blob is missing

    def read(self, measure: Measure | None) -> None:
        from bcfl.market.roles.assessment import Assessment  # noqa: PLC0415 - torch, an extra

        self._assessment: Assessment = Assessment(self._store)
        task, opened = self._launched.task, self._opened
        try:
            description = self._assessment.description(self._history, task)
        except (BcflError, OSError) as error:
            # a description that is none was launched by its initiator
            who = initiator(self._launched.initiator)
            guilty = who if isinstance(error, ConfigurationError) else STORE
            self._find("description", guilty, "the task's description", str(error))
            opened.sealed = "without the task's description nothing was opened"
            return
        opened.strategy = description.fitness.fusion.strategy
        opened.least_gain_ppm = description.fitness.least_gain_ppm
        verification = self._verification()
        models: list[tuple[bytes, TrainedModel]] = []
        for submitted in self._history.of_task(task):
            self._check_blobs(submitted)
            if verification is None:
                continue
            if submitted.reports:
                self._examine(submitted)
            if submitted.outcome is not MarketPhase.PAID:
                continue
            if (model := self._open(submitted)) is not None:
                models.append((submitted.digest, model))
            if models and not opened.sealed:
                self._fuse(submitted.digest, models, verification, measure)

    def _verification(self) -> VerificationSet | None:
        """What was fused on: the public part, and the sealed one where there is a key to it."""
        from bcfl.market.roles.description import (  # noqa: PLC0415
            fetch_fusion_part,
            measuring_key,
        )
        from bcfl.market.verification_set import VerificationSet  # noqa: PLC0415

        task = self._launched.task
        description = self._assessment.description(self._history, task)
        account = self._keys.get(self._launched.initiator)
        try:
            if account is not None:
                key = measuring_key(account, description.measuring_set(1))
                return self._assessment.verification(self._history, task, 1, key)
            # the fusion layers are made of the public part alone
            public = fetch_fusion_part(self._store, description, _MOST_FUSION_BYTES)
            return VerificationSet.joined(public, public, description.classes)
        except SealError as error:
            who = initiator(self._launched.initiator)
            self._find("measuring set", who, "the set whose digest the task has", str(error))
        except (BcflError, OSError) as error:
            self._find("blob", STORE, "the verification set of the task", str(error))
        self._opened.sealed = "without the verification set nothing was measured"
        return None

    def _check_blobs(self, submitted: SubmissionLog) -> None:
        """What the chain names by its digest is there still, if ever anybody opened it."""
        said = {report.reason for report in submitted.reports.values()}
        was_there = bool(said & {Reason.MEASURED, Reason.DUPLICATE})
        for what, fetch in (
            ("offer and sealed model", self._fetch_pieces),
            ("grant to the panel", lambda each: self._fetch(each.opening)),
            ("keys for the panel", lambda each: self._fetch(each.keys)),
            ("samples that it is measured by", self._fetch_measuring),
        ):
            try:
                fetch(submitted)
            except (BlobMissing, CodecError) as error:
                self._lost.add(submitted.digest)
                place = place_of(submitted.digest)
                if was_there:
                    self._find("blob", STORE, f"the {what}", str(error), place)
                else:
                    self._note(f"{place}: the {what} cannot be had: {error}")

    def _fetch_pieces(self, submitted: SubmissionLog) -> None:
        offer = fetch_offer(self._store, submitted)
        self._opened.sizes[submitted.digest] = offer.size_bytes
        for digest in offer.pieces:
            self._store.get(digest, PIECE_BYTES)

    def _fetch_measuring(self, submitted: SubmissionLog) -> None:
        description = self._assessment.description(self._history, submitted.task)
        for digest in description.measuring_set(submitted.number).pieces:
            self._store.get(digest, PIECE_BYTES)

    def _fetch(self, digest: bytes | None) -> None:
        if digest is not None:
            self._store.get(digest, _MOST_SEALED_BYTES)

    def _examine(self, submitted: SubmissionLog) -> None:
        """Judge as a verifier that sat on the panel; where none's key is known, not at all."""
        from bcfl.market.roles.examination import Examiner  # noqa: PLC0415

        if {submitted.digest, *submitted.bought_before} & self._lost:
            return
        seated = [*submitted.reports, *submitted.seated]
        account = next((self._keys[who] for who in seated if who in self._keys), None)
        if account is None:
            return
        examiner = Examiner(self._store, account, assessment=self._assessment)
        fitness = examiner.examine(self._history, submitted, patient=False)
        for report in submitted.reports.values():
            self._opened.examined += 1
            self._opened.findings += _compare(report, fitness.report, fitness.finding, self._note)
        place = place_of(submitted.digest)
        if fitness.report.reason.is_junk and submitted.outcome is MarketPhase.PAID:
            who = contributor(submitted.contributor)
            self._find("model", who, "a model that is one", fitness.finding, place)
        ungranted = submitted.cause is not MarketPhase.GRANT
        if fitness.report.reason is Reason.UNGRANTED and ungranted:
            who = initiator(self._launched.initiator)
            self._find("grant", who, "a grant of what was promised", fitness.finding, place)

    def _open(self, submitted: SubmissionLog) -> TrainedModel | None:
        """What was paid for, as its buyer opens it."""
        assert submitted.secret is not None
        try:
            offer = fetch_offer(self._store, submitted)
            if self._launched.rules.members_only:
                if (account := self._keys.get(self._launched.initiator)) is None:
                    self._opened.sealed = (
                        "models are for members only: the initiator's --key-file opens them"
                    )
                    return None
                shared = account.open_share(offer.share)
            else:
                shared = shared_in_the_clear(offer)
            task = self._launched.task
            limits = self._assessment.description(self._history, task).limits
            keys = ModelKeys(shared, submitted.secret)
            return open_model(self._store, submitted, offer, keys, limits)
        except (BlobMissing, ArchitectureError, CodecError, ModelError, SealError) as error:
            if submitted.digest in self._lost:
                self._opened.sealed = "a model that was bought is lost: nothing was fused after it"
            else:
                place, who = place_of(submitted.digest), contributor(submitted.contributor)
                self._find("model", who, "a model that its buyer can open", str(error), place)
        return None

    def _fuse(
        self,
        digest: bytes,
        models: Sequence[tuple[bytes, TrainedModel]],
        verification: VerificationSet,
        measure: Measure | None,
    ) -> None:
        from bcfl.market.fusion.fused_arrays import fused_arrays  # noqa: PLC0415

        task = self._launched.task
        fused: FusedModel = self._assessment.fuse(self._history, task, models, verification)
        if fused.layers is None:
            return
        arrays = fused_arrays(fused)
        known = self._launched.initiator in self._keys
        accuracy = fused.accuracy if known else None
        found = Fused(len(fused.models), model_digest(arrays).hex(), accuracy, arrays)
        if measure is not None and not self._opened.unmeasured:
            try:
                found.measured = measure(arrays)
            except BcflError as error:
                self._opened.unmeasured = str(error)
        self._opened.fused[digest] = found

    def _find(self, kind: str, who: Any, expected: str, found: str, place: str = "") -> None:
        self._opened.findings.append(Finding(kind, who, None, expected, found[:300], place))


def _compare(report: Reported, right: Report, why: str, note: Note) -> Iterator[Finding]:
    """One verifier's report against a measurement of the same."""
    said = Report(report.fitness, report.reason)
    if said == right:
        return
    place = place_of(report.submission)
    both = said.reason is right.reason is Reason.MEASURED
    if both and abs(said.fitness - right.fitness) <= _TOLERANCE_PPM:
        note(
            f"{place}: verifier {report.verifier} reported {said.fitness / 1e6:.4f}, and "
            f"{right.fitness / 1e6:.4f} is measured here: another processor's arithmetic"
        )
    elif said.reason in (Reason.UNOPENABLE, Reason.UNGRANTED) and right.reason is Reason.MEASURED:
        note(
            f"{place}: verifier {report.verifier} reported {said.reason.name.lower()}; it can be "
            "opened now: the store may not have had it then"
        )
    else:
        expected = f"{_words(right)} ({why})"
        yield Finding("report", verifier(report.verifier), None, expected, _words(said), place)


def _words(report: Report) -> str:
    if report.reason is Reason.MEASURED:
        return f"a fitness of {report.fitness / 1e6:.4f}"
    return report.reason.name.lower()
