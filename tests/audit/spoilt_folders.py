"""Tampering with the files of a finished run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import safetensors.numpy

from bcfl.consensus.spec.domain import Commitment, TypedDataDomain
from bcfl.consensus.spec.messages import commitment_message
from tests.audit.tampering import Case, by, member_key


def flip(path: Path, at: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


def in_result(case: Case, **fields: Any) -> None:
    """Change fields of the first round in result.json."""
    result = case.json("result.json")
    result["rounds"][0].update(fields)
    case.write_json("result.json", result)


def in_task(case: Case, **fields: Any) -> None:
    case.write_json("task.json", {**case.json("task.json"), **fields})


def signed_again(case: Case, member: int, digest: bytes) -> dict[str, Any]:
    """A second commitment of a member for the first round, properly signed."""
    task = case.json("task.json")
    first = next(e for e in case.lines("journal.jsonl") if e["member"] == member)
    commitment = Commitment(1, bytes.fromhex(first["base"]), digest, first["timestamp"])
    domain = TypedDataDomain(task["chain_id"], task["contract"])
    signature = member_key(member).sign(commitment_message(domain, commitment))
    return {**first, "digest": digest.hex(), "signature": signature.hex()}


# ------------------------------------------------------------------------------------- the blobs


@by("store")
def a_bit_of_a_delta_is_flipped(case: Case) -> None:
    flip(case.blob())


@by("store")
def a_delta_is_truncated(case: Case) -> None:
    case.blob().write_bytes(case.blob().read_bytes()[:-1])


@by("store")
def a_delta_is_missing(case: Case) -> None:
    case.blob(-1).unlink()


@by("store")
def two_deltas_are_swapped(case: Case) -> None:
    one, other = case.blob(0).read_bytes(), case.blob(1).read_bytes()
    case.blob(0).write_bytes(other)
    case.blob(1).write_bytes(one)


@by("store")
def a_delta_is_padded(case: Case) -> None:
    case.blob().write_bytes(case.blob().read_bytes() + b"\0")


@by("store")
def the_first_model_is_altered(case: Case) -> None:
    flip(case.blob_of(case.json("task.json")["genesis"]))


@by("store")
def all_blobs_are_gone(case: Case) -> None:
    shutil.rmtree(case.folder / "blobs")


# ---------------------------------------------------------------------------- the model and results


@by("keeper")
def a_weight_of_the_final_model_is_altered(case: Case) -> None:
    path = case.folder / "model.safetensors"
    arrays = safetensors.numpy.load(path.read_bytes())
    next(iter(arrays.values())).flat[0] += 1e-7
    path.write_bytes(safetensors.numpy.save(arrays))


@by("keeper")
def the_final_model_is_no_model(case: Case) -> None:
    (case.folder / "model.safetensors").write_bytes(b"\xff" * 100)


@by("keeper")
def the_final_model_is_missing(case: Case) -> None:
    (case.folder / "model.safetensors").unlink()


@by("keeper")
def a_checkpoint_is_altered(case: Case) -> None:
    flip(next(case.folder.glob("checkpoint-*.model")))


@by("keeper")
def the_winners_in_the_result_are_others(case: Case) -> None:
    in_result(case, winners=[0, 1, 2])


@by("keeper")
def the_scores_in_the_result_are_others(case: Case) -> None:
    in_result(case, scores={"0": 99})


@by("keeper")
def a_rating_in_the_result_is_another(case: Case) -> None:
    result = case.json("result.json")
    result["rounds"][1]["ballots"]["0"]["1"] += 1
    case.write_json("result.json", result)


@by("keeper")
def the_gas_in_the_result_is_less(case: Case) -> None:
    in_result(case, gas={"open": 1})


@by("keeper")
def a_transaction_in_the_result_is_another(case: Case) -> None:
    in_result(case, transactions={"open": ["0x" + 32 * "00"]})


@by("keeper")
def a_round_is_missing_from_the_result(case: Case) -> None:
    result = case.json("result.json")
    del result["rounds"][0]
    case.write_json("result.json", result)


@by("keeper")
def the_final_model_in_the_result_is_another(case: Case) -> None:
    result = case.json("result.json")
    result["final"]["model"] = 64 * "0"
    case.write_json("result.json", result)


@by("keeper")
def the_result_is_no_json(case: Case) -> None:
    (case.folder / "result.json").write_text("{")


@by("keeper")
def the_rounds_file_is_missing(case: Case) -> None:
    (case.folder / "rounds.jsonl").unlink()


@by("keeper")
def the_configuration_is_missing(case: Case) -> None:
    (case.folder / "config.yaml").unlink()


@by("keeper")
def who_committed_is_altered_in_the_rounds_file(case: Case) -> None:
    lines = case.lines("rounds.jsonl")
    next(line for line in lines if line["kind"] == "round")["committed"] = [0, 1]
    case.write_lines("rounds.jsonl", lines)


@by("keeper")
def somebody_is_said_to_have_abstained_in_the_rounds_file(case: Case) -> None:
    lines = case.lines("rounds.jsonl")
    next(line for line in lines if line["kind"] == "round")["abstained"] = {"1": [0]}
    case.write_lines("rounds.jsonl", lines)


@by("keeper")
def the_measured_model_is_altered_in_the_rounds_file(case: Case) -> None:
    lines = case.lines("rounds.jsonl")
    next(line for line in lines if line["kind"] == "evaluation")["model"] = 64 * "0"
    case.write_lines("rounds.jsonl", lines)


@by("keeper")
def the_rounds_file_tells_of_a_round_that_never_was(case: Case) -> None:
    lines = case.lines("rounds.jsonl")
    first = next(line for line in lines if line["kind"] == "round")
    case.write_lines("rounds.jsonl", [*lines, {**first, "chain_round": 9}])


# -------------------------------------------------------------------------- what was agreed


@by("keeper")
def gamma_is_altered_in_the_task(case: Case) -> None:
    in_task(case, rules={**case.json("task.json")["rules"], "gamma": 0.4})


@by("keeper")
def the_rules_in_the_task_are_none(case: Case) -> None:
    in_task(case, rules={"gamma": "much"})


@by("keeper")
def the_first_model_in_the_task_is_another(case: Case) -> None:
    in_task(case, genesis=64 * "0")


@by("keeper")
def the_coordinator_in_the_task_is_another(case: Case) -> None:
    in_task(case, coordinator=member_key(0).address)


@by("keeper")
def the_contract_in_the_task_is_another(case: Case) -> None:
    in_task(case, contract=member_key(0).address)


@by("keeper")
def the_configuration_has_another_gamma(case: Case) -> None:
    path = case.folder / "config.yaml"
    path.write_text(path.read_text().replace("gamma: 0.5", "gamma: 0.05"))


# ------------------------------------------------------------------------------------- the chain


@by("keeper")
def a_byte_of_a_transaction_is_altered(case: Case) -> None:
    lines = case.lines("chain.jsonl")
    raw = lines[3]["transaction"]
    lines[3]["transaction"] = raw[:-1] + ("0" if raw[-1] != "0" else "1")
    case.write_lines("chain.jsonl", lines)


@by("keeper")
def a_block_is_missing(case: Case) -> None:
    lines = case.lines("chain.jsonl")
    case.write_lines("chain.jsonl", lines[:4] + lines[5:])


@by("keeper")
def the_last_round_is_cut_off_the_chain(case: Case) -> None:
    case.write_lines("chain.jsonl", case.lines("chain.jsonl")[:-5])


@by("keeper")
def a_block_is_earlier_than_it_was(case: Case) -> None:
    lines = case.lines("chain.jsonl")
    lines[-1]["timestamp"] += 1
    case.write_lines("chain.jsonl", lines)


# ----------------------------------------------------------------------------------- the journal


@by("keeper")
def a_signature_in_the_journal_is_altered(case: Case) -> None:
    lines = case.lines("journal.jsonl")
    lines[0]["signature"] = lines[1]["signature"]
    case.write_lines("journal.jsonl", lines)


@by("keeper")
def a_line_of_the_journal_is_missing(case: Case) -> None:
    case.write_lines("journal.jsonl", case.lines("journal.jsonl")[1:])


@by("keeper")
def the_journal_is_gone(case: Case) -> None:
    (case.folder / "journal.jsonl").unlink()


@by("member 2")
def a_member_signed_two_deltas_that_the_server_was_given(case: Case) -> None:
    again = signed_again(case, 2, 32 * b"\7")
    case.write_lines("journal.jsonl", [*case.lines("journal.jsonl"), again])


@by("member 1")
def a_member_signed_two_deltas_one_of_which_somebody_shows(case: Case) -> None:
    case.write_json("shown.json", signed_again(case, 1, 32 * b"\7"))
    case.shown = [case.folder / "shown.json"]
