"""What must hold of any sequence of events, whatever led to it."""

from __future__ import annotations

from bcfl.consensus.spec.domain import members_in
from tests.contracts.peer_consensus_task import Task


def check_history(task: Task, said: set[tuple[int, int, bytes]]) -> None:
    """Read a task's whole history; ``said`` is what was really signed or sent, by whom."""
    stage = "idle"
    committed: dict[int, bytes] = {}
    voted: set[int] = set()
    round_ = 0
    for log in task.logs:
        fields = log.fields
        match log.name:
            case "Opened":
                assert (stage, fields["round"]) == ("idle", round_ + 1)
                stage, round_, committed, voted = "open", round_ + 1, {}, set()
            case "Committed":
                assert stage == "open"
                assert fields["member"] not in committed
                assert not voted, "no commitment after the first ballot"
                assert (round_, fields["member"], fields["digest"]) in said, "forged"
                committed[fields["member"]] = fields["digest"]
            case "BallotCast":
                assert stage == "open"
                assert fields["member"] in committed.keys() - voted
                voted.add(fields["member"])
            case "Selected":
                winners = set(members_in(fields["winners"]))
                assert stage == "open"
                assert winners
                assert winners <= committed.keys()
                assert len(winners) < len(committed) or len(committed) == 1
                stage = "selected"
            case "Voided":
                assert (stage, members_in(fields["voted"])) == ("open", tuple(sorted(voted)))
                stage = "idle"
            case "Closed":
                assert stage == "selected"
                stage = "idle"
            case "Sealed" | "Equivocated" | "MemberJoined" | "MemberLeft" | "Withdrawn":
                pass
            case _:
                raise AssertionError(f"an event that nobody knows: {log}")
