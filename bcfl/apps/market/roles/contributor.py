"""The computing contributor: publish a sealed model, open it to its panel, be paid.

PROTOCOL, System B, computing contributor and contract event 1. What it trains is its own
affair (``bcfl.apps.market.training`` is a suggestion); this is everything after that.
"""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from bcfl.adapters.accounts import Account
from bcfl.adapters.journal import Journal
from bcfl.adapters.pieces import put_pieces
from bcfl.adapters.sealing import encrypt_model, seal_for, seal_share, secret_commitment
from bcfl.apps.market.roles.description import fetch_description
from bcfl.apps.market.roles.history import Story, expect_task, read_history, read_story, state_of
from bcfl.apps.market.roles.opening import address_bytes, fetch_offer
from bcfl.apps.market.roles.turn import Turn, attempt, earliest, short
from bcfl.core.errors import ConfigurationError, ContractReverted
from bcfl.core.market import MarketPhase, Submission
from bcfl.core.market_offer import MAX_OFFER_BYTES, ModelKeys, Offer
from bcfl.core.model_blob import TrainedModel, encode_model_blob
from bcfl.ports.blob_store import BlobStore
from bcfl.ports.market_ledger import MarketLedger

__all__ = ["Contributor"]

#: Share of the answer window that has to be left for a secret to be disclosed: a transaction
#: that comes too late publishes the secret and earns nothing.
_MARGIN = 10


class Contributor:
    """One account's submissions to one market (:class:`bcfl.apps.market.roles.turn.Role`).

    Parameters
    ----------
    ledger : MarketLedger
        Sends from ``account``.
    store : BlobStore
    account : Account
        Its keys derive from this account's, so that no secret of a model is on a disk.
    folder : Path
        Of this contributor alone; says what it has offered.
    """

    def __init__(
        self, ledger: MarketLedger, store: BlobStore, account: Account, folder: Path
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._account = account
        self._offers = Journal(folder / "offers.jsonl")

    def submit(self, task: int, model: TrainedModel, *, anew: bool = False) -> bytes:
        """Publish and submit a model, once; the submission's digest.

        Parameters
        ----------
        task : int
        model : TrainedModel
        anew : bool
            Submit it again, though it was submitted before: after a void submission.

        Raises
        ------
        ArchitectureError, ConfigurationError
            The model is beyond the task's limits, or not for its inputs and classes.
        ContractReverted
            The task is closed, or the deposit used up.
        """
        terms = expect_task(self._ledger, task)
        description = fetch_description(self._store, terms.description)
        model.architecture.check(description.limits)
        found = (model.architecture.input_shape, model.architecture.classes)
        if found != (description.input_shape, description.classes):
            raise ConfigurationError(
                f"task {task} takes samples of shape {description.input_shape} and tells "
                f"{description.classes} classes apart; the model {found[0]} and {found[1]}"
            )
        blob = encode_model_blob(model, address_bytes(self._account.address))
        name = hashlib.sha256(blob).hexdigest()
        submission = None if anew else self._offered(task, name)
        if submission is None:
            key = description.initiator_key if terms.rules.members_only else None
            submission = self._publish(task, blob, key)
            # on disk before it is on the chain: killed in between, the next try submits the same
            self._offers.append(self._entry(task, name) | {"offer": submission.hex()})
        if self._ledger.submission(submission) is None:
            self._enter(task, submission)
        return submission

    def turn(self) -> Turn:
        """Draw, share, disclose, settle: whatever is due of one's own submissions."""
        history = read_history(self._ledger)
        mine = [each for each in history.pending() if each.contributor == self._account.address]
        deeds: list[str] = []
        wake: int | None = None
        for story in mine:
            found = state_of(self._ledger, story)
            deed = self._act(story, found)
            if deed:
                deeds.append(f"{deed} ({short(story.submission)})")
            else:
                wake = earliest(wake, found.deadline + 1)
        if not mine and self._ledger.account_of(self._account.address).credit:
            self._ledger.withdraw()
            deeds.append("withdrew its credit")
        return Turn(tuple(deeds), wake, finished=not mine and not deeds)

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

    def _enter(self, task: int, submission: bytes) -> None:
        offer = Offer.decode(self._store.get(submission, MAX_OFFER_BYTES))
        commitment = secret_commitment(self.keys_of(task, offer.nonce).secret)
        try:
            self._ledger.submit(task, submission, commitment)
        except ContractReverted:
            # a transaction of before this process was killed may have been mined meanwhile
            if self._ledger.submission(submission) is None:
                raise

    def _offered(self, task: int, name: str) -> bytes | None:
        wanted = self._entry(task, name).items()
        found = [entry["offer"] for entry in self._offers if wanted <= entry.items()]
        return bytes.fromhex(found[-1]) if found else None

    def _entry(self, task: int, name: str) -> dict[str, str | int]:
        """What an offer is remembered by: a folder may serve several markets, one by one."""
        return {"market": self._ledger.address, "task": task, "model": name}

    def _act(self, story: Story, found: Submission) -> str:
        ledger, submission = self._ledger, story.submission
        now = ledger.now()
        if now > found.deadline:
            return attempt(
                ledger, submission, lambda: ledger.settle(submission), "settled what was overdue"
            )
        match found.phase:
            case MarketPhase.DRAW if self._enough_verifiers(story, found):
                return attempt(
                    ledger, submission, lambda: ledger.draw(submission), "drew the panel"
                )
            case MarketPhase.SHARE:
                return self._share(story, found)
            case MarketPhase.DISCLOSE:
                return self._disclose(story, found, now)
        return ""

    def _enough_verifiers(self, story: Story, found: Submission) -> bool:
        barred = {story.contributor, expect_task(self._ledger, story.task).initiator, *found.panel}
        free = self._ledger.verifiers().keys() - barred
        return len(free) >= found.panel.count(None)

    def _share(self, story: Story, found: Submission) -> str:
        history, story = read_story(self._ledger, story)
        keys = self.keys_of(story.task, fetch_offer(self._store, story).nonce)
        readers = [history.public_keys[seat] for seat in found.panel if seat is not None]
        sealed = self._store.put(seal_for(keys.encode(), readers))
        return attempt(
            self._ledger,
            story.submission,
            lambda: self._ledger.share(story.submission, sealed),
            "opened the model to its panel",
        )

    def _disclose(self, story: Story, found: Submission, now: int) -> str:
        window = expect_task(self._ledger, story.task).conditions.answer_window
        if found.deadline - now < window // _MARGIN:
            return ""
        keys = self.keys_of(story.task, fetch_offer(self._store, story).nonce)
        return attempt(
            self._ledger,
            story.submission,
            lambda: self._ledger.disclose(story.submission, keys.secret),
            "disclosed the key, and was paid",
        )
