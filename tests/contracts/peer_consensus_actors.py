"""Who acts in the state machine, and what each action is tried with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from hypothesis import strategies as st

from tests.contracts.peer_consensus_keys import account
from tests.contracts.peer_consensus_task import COORDINATOR

STAKE = 10**18
PEOPLE = [account(i) for i in range(6)]
OUTSIDER = account(50)
EVERYBODY = {key.address.lower(): key for key in (*PEOPLE, OUTSIDER, account(1000))}
ADDRESSES = list(EVERYBODY)
CHIEF = COORDINATOR.lower()

MEMBERS = st.integers(0, 6)
SENDERS = st.sampled_from(ADDRESSES)
MOSTLY_CHIEF = st.sampled_from([CHIEF] * 4 + [OUTSIDER.address.lower()])
#: Most batches are of members; some have somebody in them who is none.
BATCHES = st.lists(st.integers(0, 3), max_size=4) | st.lists(MEMBERS, max_size=4)
ROWS = st.dictionaries(MEMBERS, st.integers(0, 3), max_size=6)
#: What is wrong with what is signed; mostly nothing.
FAULTS = st.sampled_from(["", "", "", "key", "round", "early", "late"])
Actions: TypeAlias = Mapping[str, Mapping[str, st.SearchStrategy[Any]]]
#: Everything that anybody may try, with what it is tried with.
ACTIONS: Actions = {
    "time_passes": {"seconds": st.sampled_from([1, 30, 101])},
    "open": {
        "sender": MOSTLY_CHIEF,
        "whom": st.sets(MEMBERS),
        "base": st.sampled_from([b"", b"", bytes(32)]),
    },
    "commit": {
        "members": BATCHES,
        "fault": FAULTS,
        "version": st.integers(0, 1),
        "sender": SENDERS,
    },
    "commit_directly": {"member": MEMBERS, "version": st.integers(0, 1), "late": st.booleans()},
    "seal": {"members": BATCHES, "fault": FAULTS, "direct": st.booleans()},
    "vote": {
        "members": BATCHES,
        "fault": FAULTS,
        "row": ROWS,
        "damage": st.sampled_from(["", "", "cut", "swap"]),
        "direct": st.booleans(),
    },
    "select": {"sender": SENDERS, "lie": st.booleans()},
    "close": {"sender": MOSTLY_CHIEF, "before": st.booleans()},
    "prove": {
        "member": MEMBERS,
        "back": st.integers(-1, 1),
        "fault": st.sampled_from(["", "", "", "same", "key"]),
    },
    "go_on": {"whom": st.sets(MEMBERS), "steps": st.integers(1, 3)},
    "go_on_alone": {"member": MEMBERS, "steps": st.integers(1, 3)},
    "come": {
        "sender": SENDERS,
        "member": st.integers(0, 5),
        "value": st.sampled_from([STAKE] * 3 + [1]),
    },
    "go": {"sender": SENDERS | st.just(CHIEF), "member": MEMBERS},
    "withdraw": {"sender": SENDERS, "owed": st.booleans()},
    "move": {"address": st.sampled_from(ADDRESSES[:6])},
}
#: What brings the protocol forward comes more often, or nothing would ever be reached.
PLAN = ["go_on"] * 6 + ["go_on_alone"] * 3 + ["move"] * 3 + ["prove"]
