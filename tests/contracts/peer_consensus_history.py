"""What must hold of any sequence of events, whatever led to it."""

from __future__ import annotations

from bcfl.consensus.spec.domain import members_in
from tests.contracts.peer_consensus_task import Task


def check_history(task: Task, said: set[tuple[int, int, bytes]]) -> None:
    """Read a task's whole history; ``said`` is what was really signed or sent, by whom."""
    stage = "idle"
    committed: dict[int, bytes] = {}
    voted: set[int] = set()
    abstained: set[int] = set()
    round_ = 0
    for log in task.logs:
        fields = log.fields
        match log.name:
            case "Opened":
                assert (stage, fields["round"]) == ("idle", round_ + 1)
                stage, round_, committed = "open", round_ + 1, {}
                voted, abstained = set(), set()
            case "Committed":
                assert stage == "open"
                assert fields["member"] not in committed
                assert not voted | abstained, "no commitment after the first ballot"
                assert (round_, fields["member"], fields["digest"]) in said, "forged"
                committed[fields["member"]] = fields["digest"]
            case "BallotCast":
                assert stage == "open"
                assert fields["member"] in committed.keys() - voted - abstained
                voted.add(fields["member"])
            case "Abstained":
                assert stage == "open"
                assert fields["member"] in committed.keys() - voted - abstained
                missing = set(members_in(fields["missing"]))
                assert missing <= committed.keys() - {fields["member"]}
                assert 4 * len(missing) > len(committed) - 1
                abstained.add(fields["member"])
            case "Selected":
                winners = set(members_in(fields["winners"]))
                assert stage == "open"
                assert winners
                assert winners <= committed.keys()
                assert len(winners) < len(committed)
                assert 2 * len(voted) > len(committed)
                stage = "selected"
            case "Voided":
                assert (stage, members_in(fields["voted"])) == ("open", tuple(sorted(voted)))
                stage = "idle"
            case "Closed":
                assert stage == "selected"
                stage = "idle"
            case "Sealed" | "Refused" | "Equivocated" | "MemberJoined" | "MemberLeft" | "Withdrawn":
                pass
            case _:
                raise AssertionError(f"an event that nobody knows: {log}")
