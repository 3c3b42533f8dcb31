"""What the folder of a market's task says, held against chain and models.

``market.json``, ``model.safetensors``, ``config.yaml``, and what each role has written down under
``roles/``; rounds are ``reported_rounds``'s.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors
import safetensors.numpy
import yaml  # type: ignore[import-untyped]

from bcfl.audit.findings import KEEPER, Finding
from bcfl.audit.market.chain_checks import Note
from bcfl.audit.market.evidence import Evidence, place_of
from bcfl.audit.market.models import Fused, Opened
from bcfl.audit.plain_files import MOST_MODEL_BYTES, parse_json, read_file, read_lines
from bcfl.audit.task_files import strategy_knobs
from bcfl.core.errors import AuditError, BlobMissing, CodecError
from bcfl.core.model import model_digest
from bcfl.market.roles.history import MarketHistory
from bcfl.market.spec.offer import MAX_OFFER_BYTES, Offer
from bcfl.market.spec.report import to_ppm
from bcfl.market.task_file import MARKET_FILE

#: What reading a file raises that says something else than it should.
MISFIT: Final = (AuditError, KeyError, TypeError, ValueError, AttributeError, OverflowError)
_NEAR: Final = 1e-3  # of fusion layers, which are trained


def check_market_file(evidence: Evidence, statement: Mapping[str, Any]) -> Iterator[Finding]:
    """``market.json``: the task is the chain's, and so is every sum in its statement."""
    told = evidence.told
    began = told.deployed_at if evidence.deployed else "another block"
    keys = {account.address for account in evidence.keys}
    said: dict[str, tuple[object, object]] = {
        "chain_id": (evidence.chain_id, told.chain_id),
        "initiator": (statement["initiator"], told.initiator),
        "description": (statement["description"], told.description),
        "deployed_at": (began, told.deployed_at),
    }
    if told.seed is not None:
        known = statement["initiator"] in keys
        said["seed"] = (told.seed if known else "that of the initiator's key", told.seed)
    if told.statement:
        said |= {f"statement.{k}": (statement[k], told.statement.get(k)) for k in statement}
        extra = {*told.statement} - {*statement}
        said["statement"] = (sorted(statement), sorted({*statement, *extra}))
    for name, (by_chain, by_file) in said.items():
        if by_chain != by_file:
            yield unlike(MARKET_FILE, f"{name} {by_chain!s:.200}", f"{by_file!r:.200}")


def check_fused_file(evidence: Evidence, opened: Opened, note: Note) -> Iterator[Finding]:
    """``model.safetensors``, or what ``bcfl market collect`` wrote, is what was bought, fused."""
    last = next(reversed(opened.fused.values()), None)
    for name in ("model.safetensors", "fused.safetensors"):
        path = evidence.folder / name
        if not os.path.lexists(path):
            continue
        if last is None:
            note(f"{name} was not compared: no fused model could be made anew")
            continue
        try:
            yield from _check_arrays(path, last, note)
        except (*MISFIT, safetensors.SafetensorError) as error:
            yield unlike(name, f"fused model {last.digest}", f"{error!r:.200}")


def _check_arrays(path: Path, right: Fused, note: Note) -> Iterator[Finding]:
    found = safetensors.numpy.load(read_file(path, MOST_MODEL_BYTES))
    if sorted(found) != sorted(right.arrays):
        raise ValueError(f"arrays {sorted(found)!s:.150}")
    if model_digest({key: found[key] for key in right.arrays}).hex() == right.digest:
        return
    for key, array in right.arrays.items():
        same = found[key].dtype == array.dtype and np.array_equal(found[key], array)
        trained = key.startswith("fusion.") and found[key].shape == array.shape
        if not same and not (trained and np.allclose(found[key], array, _NEAR, _NEAR)):
            yield unlike(path.name, f"fused model {right.digest}", f"another {key:.60}")
            return
    note(f"{path.name} is the fused model but for its last digits: another processor made it")


def check_config(evidence: Evidence, history: MarketHistory, opened: Opened) -> Iterator[Finding]:
    """``config.yaml`` of a ``bcfl run``: the strategy's knobs are the task's terms."""
    path = evidence.folder / "config.yaml"
    if not os.path.lexists(path):
        return
    terms = history.launched[evidence.told.task]
    rules, conditions = terms.rules, terms.conditions
    agreed: dict[str, object] = {
        "mafr": rules.mafr, "reward_wei": rules.reward, "fee_wei": rules.fee,
        "seats": rules.seats, "quorum": rules.quorum, "redraws": rules.redraws,
        "members_only": rules.members_only, "stake_wei": conditions.stake,
        "window_s": conditions.answer_window, "bond_wei": evidence.least_bond,
    }  # fmt: skip
    if opened.strategy:
        agreed |= {"fusion": opened.strategy, "least_gain_ppm": opened.least_gain_ppm}
    try:
        knobs = dict(strategy_knobs(read_file(path, 2**20).decode()))
        if not knobs.keys() & agreed.keys():
            yield unlike(path.name, "the knobs of a strategy", "none")
        if isinstance(knobs.get("mafr"), float):
            knobs["mafr"] = to_ppm(knobs["mafr"])
        if knobs.get("market") is not None:
            agreed.pop("bond_wei")  # another's market has a least bond of its own
    except (AuditError, yaml.YAMLError, ValueError) as error:
        yield unlike(path.name, "a configuration", f"{error!r:.200}")
        return
    for name, value in knobs.items():
        if name in agreed and value != agreed[name]:
            yield unlike(path.name, f"{name} {agreed[name]}", f"{value!r:.80}")


def check_roles(evidence: Evidence, history: MarketHistory) -> Iterator[Finding]:
    """What each role has written down is what it said on the chain and put into the store."""
    people = {who.lower(): who for who in history.public_keys}
    for path in sorted(evidence.folder.glob("roles/*/*.jsonl")):
        name = f"roles/{path.parent.name[:10]}…/{path.name}"
        owner = people.get(path.parent.name.lower(), "")
        try:
            for line in read_lines(path):
                entry = parse_json(path, line)
                if entry["market"] != evidence.market:
                    continue
                if path.name == "reports.jsonl":
                    yield from _check_report(entry, owner, history, name)
                elif path.name == "offers.jsonl":
                    yield from _check_offer(entry, evidence, history, name)
        except MISFIT as error:
            yield unlike(name, "what a role writes down", f"{error!r:.200}")


def _check_report(
    entry: Mapping[str, Any], owner: str, history: MarketHistory, name: str
) -> Iterator[Finding]:
    submitted = history.submissions.get(bytes.fromhex(entry["submission"]))
    said = (entry["fitness"], entry["reason"])
    if submitted is None:
        yield unlike(name, "a report on a submission that was made", entry["submission"][:64])
    elif (told := submitted.reports.get(owner)) and said != (told.fitness, int(told.reason)):
        expected = f"fitness {told.fitness}, reason {int(told.reason)}"
        yield unlike(name, expected, f"{said}", place_of(submitted.digest))


def _check_offer(
    entry: Mapping[str, Any], evidence: Evidence, history: MarketHistory, name: str
) -> Iterator[Finding]:
    digest = bytes.fromhex(entry["offer"])
    submitted = history.submissions.get(digest)
    if submitted is None:
        return  # published, and never submitted
    if submitted.task != entry["task"]:
        yield unlike(name, f"task {submitted.task}", f"{entry['task']!r:.40}", place_of(digest))
    with suppress(BlobMissing, CodecError):  # what is lost is found where it is opened
        nonce = Offer.decode(evidence.blobs.get(digest, MAX_OFFER_BYTES)).nonce.hex()
        if nonce != entry["nonce"]:
            yield unlike(name, f"nonce {nonce}", f"{entry['nonce']!r:.60}", place_of(digest))


def unlike(kind: str, expected: str, found: str, place: str = "") -> Finding:
    """Of a file in the folder: whoever keeps it is to blame."""
    return Finding(kind, KEEPER, None, expected, found, place)
