"""One round, as it is written down."""

from __future__ import annotations

import json

from bcfl.consensus.spec.record import RoundRecord

RECORD = RoundRecord(
    round=2,
    chain_round=3,
    void=False,
    base="00" * 32,
    model="11" * 32,
    expected=(0, 1, 2),
    committed=(0, 1),
    voted=(1,),
    winners=(1,),
    scores={0: 2, 1: 4},
    ballots={1: {0: 2**31, 2: 0}},
    rejected={1: {2: "NaN"}},
    left_out={2: "late"},
    transactions={"commit": ["0x1", "0x2"]},
    gas={"commit": 21_000},
    seconds={"train": 0.25},
    bytes_up=10,
)


def test_a_record_is_plain_json() -> None:
    """What is written is what is read back: no tuples, and no numbers as keys."""
    plain = RECORD.to_json()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["committed"] == [0, 1]
    assert plain["ballots"] == {"1": {"0": 2**31, "2": 0}}
    assert plain["rejected"] == {"1": {"2": "NaN"}}
    assert plain["left_out"] == {"2": "late"}
    assert plain["seconds"] == {"train": 0.25}


def test_every_field_is_in_it_and_changing_it_changes_no_record() -> None:
    plain = RECORD.to_json()
    assert set(plain) == set(RoundRecord.__dataclass_fields__)
    plain["ballots"]["1"]["0"] = 7
    assert RECORD.ballots[1][0] == 2**31


def test_what_did_not_happen_is_empty_and_not_shared_between_records() -> None:
    required = dict(round=1, chain_round=1, void=True, base="", model="")  # noqa: C408
    one = RoundRecord(**required, expected=(), committed=(), voted=(), winners=())  # type: ignore[arg-type]
    other = RoundRecord(**required, expected=(), committed=(), voted=(), winners=())  # type: ignore[arg-type]
    assert one.scores == one.ballots == one.gas == {}
    assert one.scores is not other.scores


def test_a_reason_that_many_have_is_told_once() -> None:
    dead = "no Ethereum node answers at http://127.0.0.1:1"
    left_out = {4: dead, 0: dead, 2: "late", 10: dead}
    record = RoundRecord(1, 1, True, "", "", (), (), (), (), left_out=left_out)
    assert record.reasons == f"member 0, 4, 10: {dead}; member 2: late"
