"""Folders, stores and nodes that say something else than what was."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import safetensors.numpy

from bcfl.market.contract import events as logged
from bcfl.market.spec.offer import Offer
from bcfl.market.spec.report import Reason
from bcfl.market.task_file import MARKET_FILE
from tests.audit.market.tampering import Case, add, by

SOMEBODY = "0x" + 40 * "1"
Edit = Callable[[Any], None]


def _set(name: str, value: Any) -> Edit:
    """Set ``a.0.b`` of a JSON value."""

    def change(found: Any) -> None:
        *path, last = [int(part) if part.isdecimal() else part for part in name.split(".")]
        for part in path:
            found = found[part]
        assert found[last] != value
        found[last] = value

    return change


# whoever kept the folder


def _gather_anew(case: Case, name: str, value: Any) -> None:
    case.replayed = name in ("deployed_at", "seed")  # they are looked up while gathering
    case.edit(MARKET_FILE, _set(name, value))


for _name, _value in {
    "chain_id": 1, "initiator": SOMEBODY, "description": 64 * "0", "deployed_at": 2, "seed": 7,
    "statement.deposit": 1, "statement.rewards": 0, "statement.panels.0.outcome": "rejected",
    "statement.panels.1.verifiers.0.fitness": 1, "statement.panels.0.contributor": SOMEBODY,
    "statement.terms.reward": 1, "statement.returned": 5, "statement.purses": {},
}.items():  # fmt: skip
    add(
        "keeper",
        f"market_file_{_name}",
        lambda case, n=_name, v=_value: _gather_anew(case, n, v),  # type: ignore[misc]
    )

for _name, _value in {
    "rounds.0.outcome": "void", "rounds.1.fused": 1, "rounds.0.contributor": 1,
    "rounds.0.gas.disclosed": 1, "rounds.1.bytes_up": 7, "rounds.1.bytes_down": 7,
    "rounds.1.accuracy": 0.9999, "rounds.0.loss": 0.0001, "rounds.0.model": 64 * "a",
    "totals.gas": 1, "final.accuracy": 0.9999, "final.model": 64 * "a", "rounds.1.round": 5,
    "rounds.0.submission": 64 * "b", "rounds": 3,
}.items():  # fmt: skip
    add(
        "keeper",
        f"result_{_name}",
        lambda case, n=_name, v=_value: case.edit("result.json", _set(n, v)),  # type: ignore[misc]
    )


@by("keeper")
def result_lacks_a_sale(case: Case) -> None:
    def change(found: Any) -> None:
        found["rounds"].pop()
        last = found["rounds"][-1]
        found["totals"]["gas"] = sum(last["gas"].values())
        found["final"] = {name: last[name] for name in found["final"]}

    case.edit("result.json", change)


@by("keeper")
def result_tells_other_reports(case: Case) -> None:
    def change(found: Any) -> None:
        fitness = found["rounds"][0]["fitness"]
        fitness[next(iter(fitness))] = 0.999

    case.edit("result.json", change)


@by("keeper")
def result_tells_other_reasons(case: Case) -> None:
    def change(found: Any) -> None:
        reasons = found["rounds"][0]["reasons"]
        reasons[next(iter(reasons))] = "duplicate"

    case.edit("result.json", change)


@by("keeper")
def result_tells_of_one_report_less(case: Case) -> None:
    def change(found: Any) -> None:
        found["rounds"][0]["fitness"].popitem()

    case.edit("result.json", change)


@by("keeper")
def result_is_no_json(case: Case) -> None:
    (case.folder / "result.json").write_text("{")


@by("keeper")
def rounds_tell_another_outcome(case: Case) -> None:
    case.edit_line("rounds.jsonl", 0, _set("outcome", "rejected"))


@by("keeper")
def rounds_tell_another_accuracy(case: Case) -> None:
    case.edit_line("rounds.jsonl", 1, _set("accuracy", 0.9999))


@by("keeper")
def rounds_are_missing(case: Case) -> None:
    (case.folder / "rounds.jsonl").unlink()


@by("keeper")
def model_is_missing(case: Case) -> None:
    (case.folder / "model.safetensors").unlink()


@by("keeper")
def model_is_garbage(case: Case) -> None:
    (case.folder / "model.safetensors").write_bytes(b"model")


def _bend_model(case: Case, key: str, by_: float) -> None:
    path = case.folder / "model.safetensors"
    arrays = safetensors.numpy.load(path.read_bytes())
    name = next(name for name in sorted(arrays) if name.startswith(key))
    arrays[name] = arrays[name].copy()
    arrays[name].flat[0] += by_
    path.write_bytes(safetensors.numpy.save(arrays))


@by("keeper")
def model_has_another_fusion_layer(case: Case) -> None:
    _bend_model(case, "fusion.output_weight", 0.5)


@by("keeper")
def model_has_another_weight_of_a_contributor(case: Case) -> None:
    _bend_model(case, "model.1.1", 1e-5)


@by("keeper")
def model_lacks_a_contributor(case: Case) -> None:
    path = case.folder / "model.safetensors"
    arrays = safetensors.numpy.load(path.read_bytes())
    kept = {name: array for name, array in arrays.items() if not name.startswith("model.1")}
    path.write_bytes(safetensors.numpy.save(kept))


for _old, _new in {
    "seats: 2": "seats: 3", "mafr: 0.3": "mafr: 0.1", "redraws: 1": "redraws: 2",
}.items():  # fmt: skip
    add(
        "keeper",
        f"config_{_new}",
        lambda case, o=_old, n=_new: (case.folder / "config.yaml").write_text(  # type: ignore[misc]
            (case.folder / "config.yaml").read_text().replace(o, n)
        ),
    )


@by("keeper")
def config_is_empty(case: Case) -> None:
    (case.folder / "config.yaml").write_text("")


@by("keeper")
def a_verifier_wrote_down_another_report(case: Case) -> None:
    case.edit_line("roles/*/reports.jsonl", 0, _set("fitness", 12))


@by("keeper")
def a_contributor_wrote_down_another_nonce(case: Case) -> None:
    case.edit_line("roles/*/offers.jsonl", 0, _set("nonce", 32 * "0"))


@by("keeper")
def a_role_wrote_down_nonsense(case: Case) -> None:
    next(case.folder.glob("roles/*/reports.jsonl")).write_text("[]\n")


@by("keeper")
def the_chain_has_another_hash(case: Case) -> None:
    case.replayed = True
    case.edit_line("chain.jsonl", 5, _set("hash", "0x" + 64 * "0"))


@by("keeper")
def the_chain_is_cut_off(case: Case) -> None:
    # a chain may end anywhere; what the folder says of its end does not fit any more
    case.replayed = True
    lines = (case.folder / "chain.jsonl").read_text().splitlines(keepends=True)
    (case.folder / "chain.jsonl").write_text("".join(lines[:-3]))


@by("keeper")
def the_market_is_another(case: Case) -> None:
    case.replayed = True
    case.edit(MARKET_FILE, _set("market", SOMEBODY))


@by("keeper")
def the_task_is_another(case: Case) -> None:
    case.replayed = True
    case.edit(MARKET_FILE, _set("task", 2))


# whoever keeps the blobs


def _lose(name: str, digest: Callable[[Case], bytes]) -> None:
    def spoil(case: Case) -> None:
        case.anew = True
        path = case.blob(digest(case))
        path.write_bytes(path.read_bytes()[::-1])

    add("store", f"store_lost_{name}", spoil)


_lose("description", lambda case: case.first(logged.Launched).description)
_lose("offer", lambda case: case.first(logged.Submitted).submission)
_lose("grant", lambda case: case.first(logged.Granted).opening)
_lose("keys", lambda case: case.first(logged.Shared).keys)


@by("store")
def store_lost_a_piece_of_a_model(case: Case) -> None:
    case.anew = True
    offer = case.blob(case.first(logged.Submitted).submission).read_bytes()
    case.blob(Offer.decode(offer).pieces[0]).unlink()


@by("store")
def store_lost_the_measuring_samples(case: Case) -> None:
    case.anew = True
    description = json.loads(case.blob(case.first(logged.Launched).description).read_text())
    case.blob(description["measuring"][0]["pieces"][0]).unlink()


@by("store")
def store_lost_the_public_samples(case: Case) -> None:
    case.anew = True
    description = json.loads(case.blob(case.first(logged.Launched).description).read_text())
    case.blob(description["fusion_part"][0]).unlink()


# whoever serves the chain

for _kind in (
    logged.Launched, logged.Collected, logged.Registered, logged.Entered, logged.Left,
    logged.Submitted, logged.Armed, logged.Drawn, logged.Seated, logged.Granted, logged.Shared,
    logged.ReportSealed, logged.Reported, logged.Judged, logged.Disclosed, logged.Withdrawn,
):  # fmt: skip
    if _kind is not logged.Collected:  # nothing was left of this task's deposit
        add("chain", f"no_{_kind.__name__}", lambda case, k=_kind: case.bend_first(k))  # type: ignore[misc]

for _kind, _field, _value in (
    (logged.Launched, "initiator", SOMEBODY),
    (logged.Launched, "description", 32 * b"\1"),
    (logged.Launched, "task", 2),
    (logged.Registered, "public_key", 64 * b"\1"),
    (logged.Registered, "number", 9),
    (logged.Entered, "bond", 1),
    (logged.Entered, "verifier", SOMEBODY),
    (logged.Submitted, "number", 2),
    (logged.Submitted, "contributor", SOMEBODY),
    (logged.Submitted, "key_commitment", 32 * b"\1"),
    (logged.Armed, "anchor", 1),
    (logged.Armed, "redraws", 1),
    (logged.Seated, "verifier", SOMEBODY),
    (logged.Seated, "seat", 1),
    (logged.Drawn, "seed", 32 * b"\1"),
    (logged.Drawn, "seats", 1),
    (logged.Granted, "opening", 32 * b"\1"),
    (logged.Shared, "keys", 32 * b"\1"),
    (logged.ReportSealed, "seal", 32 * b"\1"),
    (logged.ReportSealed, "verifier", SOMEBODY),
    (logged.Reported, "fitness", 123_456),
    (logged.Reported, "reason", Reason.DUPLICATE),
    (logged.Judged, "accepted", False),
    (logged.Judged, "above", 1),
    (logged.Disclosed, "key", 32 * b"\1"),
    (logged.Disclosed, "timestamp", 2**33),
    (logged.Withdrawn, "amount", 1),
    (logged.Withdrawn, "owner", SOMEBODY),
    (logged.Left, "verifier", SOMEBODY),
):
    add(
        "chain",
        f"{_kind.__name__}_with_another_{_field}",
        lambda case, k=_kind, f=_field, v=_value: case.bend_first(k, **{f: v}),  # type: ignore[misc]
    )


@by("chain")
def events_in_another_order(case: Case) -> None:
    events = case.honest.evidence.events
    case.lie(events=(events[1], events[0], *events[2:]))


@by("chain")
def events_end_early(case: Case) -> None:
    case.lie(events=case.honest.evidence.events[:-1])


@by("chain")
def another_block_draws(case: Case) -> None:
    case.lie(hashes=dict.fromkeys(case.honest.evidence.hashes, 32 * b"\1"))


@by("chain")
def less_money_on_the_contract(case: Case) -> None:
    case.lie(views=replace(case.honest.evidence.views, balance=-1))


@by("chain")
def another_account(case: Case) -> None:
    views = case.honest.evidence.views
    who, account = next(iter(views.accounts.items()))
    other = {**views.accounts, who: replace(account, credit=account.credit + 1)}
    case.lie(views=replace(views, accounts=other))


@by("chain")
def another_state_of_the_task(case: Case) -> None:
    views = case.honest.evidence.views
    task = views.tasks[1]
    assert task is not None
    case.lie(views=replace(views, tasks={1: replace(task, paid=1)}))


@by("chain")
def another_state_of_a_submission(case: Case) -> None:
    views = case.honest.evidence.views
    digest, view = next(iter(views.submissions.items()))
    assert view is not None
    case.lie(
        views=replace(views, submissions={**views.submissions, digest: replace(view, redraws=1)})
    )


def _resend(name: str, kind: type[Any], **fields: Any) -> None:
    def spoil(case: Case) -> None:
        sent = case.honest.evidence.sent
        number = case.first(kind).transaction
        case.lie(sent={**sent, number: replace(sent[number], **fields)})

    add("chain", f"transaction_with_another_{name}", spoil)


_resend("deposit", logged.Launched, value=1)
_resend("stake", logged.Submitted, value=1)
_resend("bond", logged.Entered, value=1)
_resend("sender", logged.Granted, sender=SOMEBODY)
_resend("verifier", logged.Reported, sender=SOMEBODY)
_resend("call", logged.Shared, data=b"")


@by("chain")
def no_such_transaction(case: Case) -> None:
    number = case.first(logged.Disclosed).transaction
    sent = case.honest.evidence.sent
    case.lie(sent={name: each for name, each in sent.items() if name != number})


@by("chain")
def a_report_with_another_salt(case: Case) -> None:
    number = case.first(logged.Reported).transaction
    sent = case.honest.evidence.sent
    other = replace(sent[number], data=sent[number].data[:-32] + 32 * b"\1")
    case.lie(sent={**sent, number: other})
