"""The client's side of a round, as a Flower mod around whatever app there is.

``ClientApp(mods=[peer_consensus_mod])`` is all that an app changes. On a message to train
the mod lets the app train, and commits (S2, S3); on a message to review it checks what the
others committed, lets the app evaluate each, and signs a ballot (S3). Every other message
passes through.

Order of mods: ours first. What stands after it (clipping, local differential privacy) works
on the update before it is committed; what stands before it sees a reply without arrays.

While the app evaluates others' updates for a review, its config holds ``bcfl-review=True``: what
counts evaluations, or shows them, can tell. A review calls it once for every other member; where
members propose sets (``bcfl-rule=coalition``), about three times as often.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from functools import lru_cache, partial
from logging import INFO
from typing import Any, TypeAlias

from flwr.app import Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp.typing import ClientAppCallable
from flwr.common.logger import log

from bcfl.consensus.member.enrolment import enrol
from bcfl.consensus.member.kept import Kept
from bcfl.consensus.member.membership import Membership
from bcfl.consensus.member.memory import Memory
from bcfl.consensus.member.rating import (
    Measure,
    ReferenceLoss,
    Vary,
    app_measure,
    expect_reference_loss,
    losses_of,
    rate_all,
    reference_measure,
)
from bcfl.consensus.member.review import Reviewed, proposable, rateable, verify
from bcfl.consensus.member.task import parcels_of, store_from
from bcfl.consensus.member.unsent import Unsent
from bcfl.consensus.records import (
    EnrolOrder,
    EnrolReply,
    JoinOrder,
    JoinReply,
    Noted,
    ProposalReply,
    ReceiptOrder,
    ReviewOrder,
    ReviewReply,
    RoundOrder,
    TrainReply,
    apps_own,
    order_in,
)
from bcfl.consensus.spec import coalition, referee
from bcfl.consensus.spec.domain import Ballot, Phase, Proposal, bits
from bcfl.consensus.spec.fixed_point import to_value
from bcfl.consensus.spec.messages import join_message
from bcfl.consensus.spec.update import Updates, updates_of
from bcfl.core.errors import ConfigurationError, ProtocolError
from bcfl.core.model import Arrays
from bcfl.flower import handlers
from bcfl.flower.identity import (
    CHALLENGE,
    DIRECT_FALLBACK,
    expect_own_node,
    refuse_development_key,
    signer_from,
)
from bcfl.keys.accounts import DEVELOPMENT_CHAINS
from bcfl.keys.signer import Wallet

_Looked: TypeAlias = tuple[Reviewed, Updates[Any], Arrays, Measure]


class PeerConsensusMod:
    """A Flower mod that makes any app a member of a peer-consensus task.

    Parameters
    ----------
    signer_of : callable, optional
        Gives the node's account. By default the key file that the node's configuration
        names, see ``bcfl.flower.identity``.
    evaluate : callable, optional
        What to rate others' updates with, written as a function under ``@app.evaluate()`` is.
        By default the app's own; an app that has none must name one here.
    reference : callable, optional
        For ``rule=referee``: given a model (an ``ArrayRecord``) and the samples of the reference
        set (name to array, as the task's founder gave them), the model's mean loss on them.
        ``bcfl.losses.bounded_loss`` is a good one.
    vary : callable, optional
        For ``rule=referee``: given these samples and a number that nobody knew before all had
        committed, the samples that this round is rated on. All members must make the same of
        them. By default they are the reference set's in every round.
    """

    def __init__(
        self,
        signer_of: Callable[[Context], Wallet] | None = None,
        *,
        evaluate: ClientAppCallable | None = None,
        reference: ReferenceLoss | None = None,
        vary: Vary | None = None,
    ) -> None:
        self._signer_of = signer_of
        self._evaluate = evaluate
        self._reference = reference
        self._vary = vary

    def __call__(self, message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        """Handle one message; see the module."""
        order = order_in(message.content)
        if isinstance(order, JoinOrder):
            return self._join(order, message, context)
        if isinstance(order, EnrolOrder):
            signer, simulated = self._signer(order, context), self._signer_of is None
            return _reply(enrol(order, context, signer, simulated=simulated), message)
        if isinstance(order, RoundOrder):
            return self._train(order, message, context, call_next)
        if isinstance(order, ReviewOrder):
            return self._review(order, message, context, call_next)
        if isinstance(order, ReceiptOrder):
            return self._note(order, message, context)
        if message.metadata.message_type == MessageType.EVALUATE:
            content = handlers.call(message, context, call_next, "evaluate")
            return Message(content, reply_to=message)
        return call_next(message, context)

    def rate(self, qualities: dict[int, float], context: Context) -> Mapping[int, float]:
        """The ratings that go into the ballot: member to quality, larger is better.

        An honest client reports what it measured.
        """
        return qualities

    def choose(self, members: frozenset[int], context: Context) -> Set[int]:
        """The members that go into the proposal. An honest client proposes what it found."""
        return members

    def _join(self, order: JoinOrder, message: Message, context: Context) -> Message:
        if message.metadata.message_type == MessageType.TRAIN and self._evaluate is None:
            raise ConfigurationError(
                "this app has no @app.evaluate() to rate others' updates with: add one, or name a "
                "function of that form, ClientApp(mods=[PeerConsensusMod(evaluate=…)])"
            )
        if order.task and order.chain_id in DEVELOPMENT_CHAINS:
            Memory.begin(context, order.task)
        signer = self._signer(order, context)
        signature = signer.sign(join_message(order.chain_id, order.challenge))
        partition = context.node_config.get("partition-id", -1)
        fetches = store_from(context) is not None
        reply = JoinReply(signer.address, signature, int(partition), fetches)
        return _reply(reply, message)

    def _train(
        self, order: RoundOrder, message: Message, context: Context, call_next: ClientAppCallable
    ) -> Message:
        membership = self._membership(order, context)
        expect_reference_loss(membership.rules, self._reference)
        if order.receipt:
            domain, coordinator = membership.ledger.domain, membership.ledger.coordinator
            kept = Kept(context, domain.contract, order.receipt_round)
            kept.expect_ballot_receipt(order.receipt, domain, coordinator)
        message.content = apps_own(message.content)
        _, record = handlers.model_in(message.content)
        base_arrays = handlers.to_arrays(record)
        membership.expect_base(record, base_arrays)
        memory = Memory.of(context, membership)
        membership.expect_readers(order.readers)
        asked_again = (reply := memory.commitment()) is not None
        if reply is None:
            kind = updates_of(membership.rules, base_arrays)
            arrays, content = handlers.call_train(message, context, call_next)
            unsent, heading = Unsent(context, membership), membership.heading(membership.index)
            trained = unsent.added_to(_cast(arrays, kind, base_arrays))
            blob = kind.encode(kind.of(trained, base_arrays, order.round), heading)
            reply = membership.sign_commitment(blob)
            memory.keep_commitment(reply, content)
            if membership.rules.error_feedback:
                unsent.keep(trained, kind.replies(base_arrays)(kind.decode(blob, heading)))
        elif (dated := membership.renew(reply)) != reply:
            reply = dated
            memory.keep_commitment(reply, memory.reply())
        left_out = asked_again or not membership.expected
        if order.direct or (left_out and _falls_back(context)):
            reply = membership.commit_direct(reply)
            memory.keep_commitment(reply, memory.reply())
        readers = order.readers
        parcels = parcels_of(context, membership.signer, sealed=bool(readers), recipients=readers)
        blob, locator = parcels.pack(reply.blob, publish=order.publish)
        return _reply(replace(reply, blob=blob, locator=locator), message, memory.reply())

    def _review(
        self, order: ReviewOrder, message: Message, context: Context, call_next: ClientAppCallable
    ) -> Message:
        membership = self._membership(order, context)
        memory = Memory.of(context, membership)
        commitment = memory.commitment()
        domain, coordinator = membership.ledger.domain, membership.ledger.coordinator
        if order.receipt and commitment is not None:
            membership.kept.expect_receipt(order.receipt, domain, coordinator)
        for receipt in (order.seal_receipt, order.proposal_receipt):
            if receipt:
                membership.kept.expect_ballot_receipt(receipt, domain, coordinator)
        if commitment is not None and _falls_back(context):
            membership.commit_direct(commitment)
        membership.expect_review()
        look = partial(self._look, order, membership, commitment, message, context, call_next)
        if membership.state.phase == Phase.PROPOSE:
            return _reply(self._propose(order, membership, memory, context, look), message)
        asked_again = membership.kept.has(membership.asked_for)
        if (kept := memory.ballot()) is None:
            membership.expect_unsaid()
            kept = self._fill_in_ballot(order, membership, context, look)
            memory.keep_ballot(*kept)
        reply = membership.sign_ballot(*kept)
        if order.direct or (asked_again and _falls_back(context)):
            reply = membership.cast_direct(reply)
        return _reply(reply, message)

    def _propose(
        self,
        order: ReviewOrder,
        membership: Membership,
        memory: Memory,
        context: Context,
        look: Callable[[], _Looked],
    ) -> ProposalReply:
        asked_again = membership.kept.has(membership.asked_for)
        if (proposal := memory.proposal()) is None:
            membership.expect_unsaid()
            reviewed, kind, base, measure = look()
            candidates = proposable(membership, reviewed, kind, base)
            losses = losses_of(measure, partial(kind.model, base=base))
            propose = referee.propose if membership.rules.rule == "referee" else coalition.propose
            least = membership.rules.least(membership.state.committed.bit_count())
            chosen = self.choose(propose(candidates, losses, least), context)
            proposal = Proposal(order.round, bits(chosen))
            memory.keep_proposal(proposal)
        reply = membership.sign_proposal(proposal)
        if order.direct or (asked_again and _falls_back(context)):
            reply = membership.propose_direct(reply)
        return reply

    def _fill_in_ballot(
        self,
        order: ReviewOrder,
        membership: Membership,
        context: Context,
        look: Callable[[], _Looked],
    ) -> tuple[Ballot, dict[int, str]]:
        reviewed, kind, base, measure = look()
        asked = rateable(membership, order, reviewed, kind, base)
        qualities, failed = rate_all(measure, asked)
        ratings = self.rate(qualities, context)
        values = {member: to_value(quality) for member, quality in ratings.items()}
        invalid = asked.invalid | failed
        ballot = Ballot.from_values(order.round, values, asked.missing, invalid)
        return ballot, asked.missing | invalid

    def _look(
        self,
        order: ReviewOrder,
        membership: Membership,
        commitment: TrainReply | None,
        message: Message,
        context: Context,
        call_next: ClientAppCallable,
    ) -> _Looked:
        """What was committed, checked; what kind it is; θ_g; and how this member measures."""
        rules = membership.rules
        _, record = handlers.model_in(message.content)
        base = handlers.to_arrays(record)
        membership.expect_base(record, base)
        kind = updates_of(rules, base)
        parcels = parcels_of(context, membership.signer, sealed=order.sealed)
        reviewed = verify(membership, order, kind, parcels, commitment)
        if rules.rule == "referee":
            assert self._reference is not None  # or it has not trained
            measure = reference_measure(
                self._reference, order.reference, rules, self._vary, reviewed.digests
            )
        else:
            measure = app_measure(message, context, self._evaluate or call_next, rules)
        return reviewed, kind, base, measure

    def _note(self, order: ReceiptOrder, message: Message, context: Context) -> Message:
        if (task := Memory.task(context)) is not None:
            domain, coordinator = task
            if order.contract != domain.contract:
                raise ProtocolError(
                    f"this node is a member of {domain.contract}; the receipt is of "
                    f"{order.contract}"
                )
            kept = Kept(context, domain.contract, order.round)
            kept.expect_ballot_receipt(order.receipt, domain, coordinator)
        return _reply(Noted(), message)

    def _signer(
        self, order: JoinOrder | EnrolOrder | RoundOrder | ReviewOrder, context: Context
    ) -> Wallet:
        return self._signer_of(context) if self._signer_of else signer_from(context, order.seed)

    def _membership(self, order: RoundOrder | ReviewOrder, context: Context) -> Membership:
        pays = (
            order.direct or _falls_back(context) or bool(context.node_config.get(CHALLENGE, False))
        )
        membership = Membership.of(order, context, self._signer(order, context), pays=pays)
        if self._signer_of is None:
            chain_id = membership.ledger.domain.chain_id
            refuse_development_key(context, chain_id)
            expect_own_node(context, chain_id)
        return membership


def _falls_back(context: Context) -> bool:
    """Whether the owner lets the node send what the server did not bring on chain."""
    return bool(context.node_config.get(DIRECT_FALLBACK, False))


def _reply(
    reply: JoinReply | EnrolReply | TrainReply | ProposalReply | ReviewReply | Noted,
    message: Message,
    content: RecordDict | None = None,
) -> Message:
    # Mods that stand before ours look for the metrics of a reply.
    content = content or RecordDict({"metrics": MetricRecord()})
    return Message(RecordDict({**content, **reply.content()}), reply_to=message)


def _cast(arrays: Arrays, kind: Updates[Any], base: Arrays) -> Arrays:
    """The app's arrays as the task has a model; where dtypes differ, that is said once."""
    cast = kind.conform(arrays, base)
    for key, array in arrays.items():
        if array.dtype != cast[key].dtype:
            _say_once(
                f"train returned array {key!r} as {array.dtype}; the model's is "
                f"{cast[key].dtype}, to which it is cast"
            )
    return cast


@lru_cache(maxsize=64)
def _say_once(text: str) -> None:
    log(INFO, text)


#: The mod for every app whose node is configured with a key file, and for simulations.
peer_consensus_mod = PeerConsensusMod()
