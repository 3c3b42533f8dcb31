"""The computing contributor: publish a sealed model, open it to its panel, be paid.

PROTOCOL, System B, computing contributor and contract event 1. What it trains is its own
affair (``bcfl.market.models.training`` is a suggestion); this is everything after that.
"""

from __future__ import annotations

import hashlib
import secrets
from functools import partial

from bcfl.amounts import in_ether
from bcfl.core.errors import ConfigurationError, ContractReverted, ProtocolError
from bcfl.files import Journal
from bcfl.keys.sealing import encrypt_model, seal_for, seal_share, secret_commitment
from bcfl.market.roles.access import Session
from bcfl.market.roles.costs import expect_within
from bcfl.market.roles.description import Description, fetch_description
from bcfl.market.roles.history import expect_task, read_history
from bcfl.market.roles.opening import address_bytes
from bcfl.market.roles.pieces import put_pieces
from bcfl.market.roles.turn import Pending, Role, Turn, TurnLog
from bcfl.market.spec.architecture import DEFAULT_LIMITS
from bcfl.market.spec.model_blob import TrainedModel, encode_model_blob
from bcfl.market.spec.offer import MAX_OFFER_BYTES, ModelKeys, Offer
from bcfl.market.spec.terms import MarketPhase

#: Share of the answer window that has to be left for a secret to be disclosed: a transaction
#: that comes too late publishes the secret and earns nothing.
_MARGIN = 10
#: Offers of one model, of which somebody else submits the digest first.
_TRIES = 3


class Contributor(Role):
    """One account's submissions to one market; its folder keeps what it has offered.

    A model's keys derive from the account's, so that no secret of a model is on a disk.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._offers = Journal(session.folder / "offers.jsonl")

    def submit(self, task: int, model: TrainedModel, *, anew: bool = False) -> bytes:
        """Publish and submit a model, once; the submission's digest.

        Parameters
        ----------
        anew : bool
            Submit it once more if it was submitted before and came to nothing.

        Raises
        ------
        AboveCap
            The task's stake is more than the account's owner allows.
        ArchitectureError, ConfigurationError
            The model is beyond the task's limits, or not for its inputs and classes; or the
            task's limits are beyond what verifiers put up with.
        ContractReverted
            The task is closed, or the deposit used up; or too few verifiers are in its pool, or
            this account is one of them.
        ProtocolError
            Somebody submits in our place whatever we publish.
        """
        description = self.description(task)
        model.architecture.check(description.limits)
        found = (model.architecture.input_shape, model.architecture.classes)
        if found != (description.input_shape, description.classes):
            raise ConfigurationError(
                f"task {task} takes samples of shape {description.input_shape} and tells "
                f"{description.classes} classes apart; the model {found[0]} and {found[1]}"
            )
        blob = encode_model_blob(model, address_bytes(self._account.address))
        name = hashlib.sha256(blob).hexdigest()
        submission = self._offered(task, name)
        if submission is not None and anew and self._came_to_nothing(submission):
            submission = None
        members_only = expect_task(self._ledger, task).rules.members_only
        key = description.initiator_key if members_only else None
        for _ in range(_TRIES):
            if submission is None:
                # on disk before it is on the chain: killed in between, the next try submits the
                # same
                submission = self._publish(task, blob, key)
                self._remember(task, name, submission)
            if self._enter(task, submission):
                return submission
            submission = None  # its digest was seen on its way, and taken: seal it anew
        raise ProtocolError(
            f"{_TRIES} times somebody else submitted the digest of what was published for task "
            f"{task}: who sees this account's transactions before they are mined?"
        )

    def description(self, task: int) -> Description:
        """What a task asks for: to be read before there is a model.

        Raises
        ------
        AboveCap, ConfigurationError
            As :meth:`submit`.
        BlobError, CodecError
            As ``fetch_description``.
        """
        terms = expect_task(self._ledger, task)
        self._ledger.stake(task, most_wei=self._most_stake)
        description = fetch_description(self._store, terms.description, terms.initiator)
        expect_within(description.fitness, DEFAULT_LIMITS)
        return description

    def turn(self) -> Turn:
        """Draw, share, disclose, settle: whatever is due of one's own submissions."""
        pending = read_history(self._ledger).pending()
        mine = [each for each in pending if each.contributor == self._account.address]
        log = TurnLog(self._ledger)
        for submitted in mine:
            log.act(submitted, partial(self._act, log))
        if not mine and (credit := self.withdraw()):
            log.actions.append(f"withdrew {in_ether(credit)}")
        return log.turn(finished=not mine and not log.actions)

    def keys_of(self, task: int, nonce: bytes) -> ModelKeys:
        """What opens the model of one's own offer: derived from its nonce, never kept."""
        purpose = b"/".join((address_bytes(self._ledger.address), b"%d" % task, nonce))
        return ModelKeys(
            self._account.derive_secret(b"bcfl market shared/" + purpose),
            self._account.derive_secret(b"bcfl market secret/" + purpose),
        )

    def _publish(self, task: int, blob: bytes, initiator_key: bytes | None) -> bytes:
        author, nonce = address_bytes(self._account.address), secrets.token_bytes(16)
        keys = self.keys_of(task, nonce)
        sealed = encrypt_model(blob, keys.shared, keys.secret)
        share = keys.shared if initiator_key is None else seal_share(keys.shared, initiator_key)
        pieces = put_pieces(self._store, sealed)
        return self._store.put(Offer(author, nonce, share, len(sealed), pieces).encode())

    def _enter(self, task: int, submission: bytes) -> bool:
        """Submit, or have submitted before; False if somebody else has that digest."""
        if (known := self._ledger.submission(submission)) is None:
            commitment = secret_commitment(self.keys_of(task, self._nonce(submission)).secret)
            try:
                self._ledger.submit(task, submission, commitment, most_wei=self._most_stake)
            except ContractReverted:
                # a transaction of before this process was killed may have been mined meanwhile
                if (known := self._ledger.submission(submission)) is None:
                    raise
        return known is None or known.contributor == self._account.address

    def _came_to_nothing(self, submission: bytes) -> bool:
        known = self._ledger.submission(submission)
        return known is not None and known.phase in (MarketPhase.VOID, MarketPhase.REJECTED)

    def _remember(self, task: int, name: str, submission: bytes) -> None:
        # with the nonce: a store that loses the offer must not keep us from being paid
        entry = {"market": self._ledger.address, "task": task, "model": name}
        nonce = Offer.decode(self._store.get(submission, MAX_OFFER_BYTES)).nonce
        self._offers.append(entry | {"offer": submission.hex(), "nonce": nonce.hex()})

    def _offered(self, task: int, name: str) -> bytes | None:
        """The newest offer of that model to that task, unless the store has lost it."""
        found = [
            bytes.fromhex(entry["offer"])
            for entry in self._offers
            if (entry["market"], entry["task"], entry["model"])
            == (self._ledger.address, task, name)
        ]
        if not found:
            return None
        if self._ledger.submission(found[-1]) is None and not self._store.has(found[-1]):
            return None
        return found[-1]

    def _nonce(self, submission: bytes) -> bytes:
        for entry in self._offers:
            if entry["offer"] == submission.hex():
                return bytes.fromhex(entry["nonce"])
        return Offer.decode(self._store.get(submission, MAX_OFFER_BYTES)).nonce

    def _act(self, log: TurnLog, pending: Pending) -> str:
        match pending.found.phase:
            case MarketPhase.DRAW:
                return pending.draw(log)
            case MarketPhase.SHARE:
                return self._share(pending)
            case MarketPhase.DISCLOSE:
                return self._disclose(pending)
        return ""

    def _share(self, pending: Pending) -> str:
        history, submitted = pending.reread()
        keys = self.keys_of(submitted.task, self._nonce(submitted.digest))
        readers = [history.public_keys[seat] for seat in pending.found.panel if seat is not None]
        sealed = self._store.put(seal_for(keys.encode(), readers))
        return pending.attempt("opened the model to its panel", self._ledger.share, sealed)

    def _disclose(self, pending: Pending) -> str:
        terms = expect_task(self._ledger, pending.log.task)
        window = terms.conditions.answer_window
        if pending.found.deadline - self._ledger.now() < window // _MARGIN:
            return ""
        keys = self.keys_of(pending.log.task, self._nonce(pending.log.digest))
        action = f"disclosed the key, and was paid {in_ether(terms.rules.reward)}"
        return pending.attempt(action, self._ledger.disclose, keys.secret)
