"""What must hold of any sequence of events, whatever led to it."""

from __future__ import annotations

from bcfl.consensus.spec.domain import bits, members_in
from bcfl.consensus.spec.rules import Rule
from bcfl.consensus.spec.scoring import rated_by
from tests.contracts.peer_consensus_task import Task


def check_history(
    task: Task, said: set[tuple[int, int, bytes | int]], rule: Rule = "borda"
) -> None:
    """Read a task's whole history; ``said`` is what was really signed or sent, by whom."""
    stage = "idle"
    committed: dict[int, bytes] = {}
    proposed: dict[int, int] = {}
    voted: set[int] = set()
    abstained: set[int] = set()
    cheats = round_ = 0
    for log in task.logs:
        fields = log.fields
        match log.name:
            case "Opened":
                assert (stage, fields["round"]) == ("idle", round_ + 1)
                stage, round_, committed = "open", round_ + 1, {}
                proposed, voted, abstained = {}, set(), set()
            case "Committed":
                assert stage == "open"
                assert fields["member"] not in committed
                assert not proposed, "no commitment after the first proposal"
                assert not voted | abstained, "no commitment after the first ballot"
                assert (round_, fields["member"], fields["digest"]) in said, "forged"
                committed[fields["member"]] = fields["digest"]
            case "Proposed":
                assert stage == "open"
                assert fields["member"] in committed.keys() - proposed.keys()
                assert not voted | abstained, "no proposal after the first ballot"
                assert (round_, fields["member"], fields["members"]) in said, "forged"
                assert 0 < fields["members"] == fields["members"] & bits(committed)
                proposed[fields["member"]] = fields["members"]
            case "BallotCast":
                assert stage == "open"
                assert fields["member"] in committed.keys() - voted - abstained
                voted.add(fields["member"])
            case "Abstained":
                assert stage == "open"
                assert fields["member"] in committed.keys() - voted - abstained
                missing = set(members_in(fields["missing"]))
                others = rated_by(rule, fields["member"], bits(committed), bits(proposed))
                assert missing <= others
                assert 4 * len(missing) > len(others)
                abstained.add(fields["member"])
            case "Selected":
                winners = set(members_in(fields["winners"]))
                assert stage == "open"
                assert winners
                assert winners <= committed.keys()
                if rule == "borda":
                    assert len(winners) < len(committed)
                else:
                    chosen = set(members_in(fields["chosen"]))
                    assert chosen <= proposed.keys() - set(members_in(cheats))
                    assert winners == set().union(*(members_in(proposed[j]) for j in chosen))
                    assert 2 * len(proposed) > len(committed)
                assert 2 * len(voted) > len(committed)
                stage = "selected"
            case "Voided":
                assert (stage, members_in(fields["voted"])) == ("open", tuple(sorted(voted)))
                stage = "idle"
            case "Closed":
                assert stage == "selected"
                stage = "idle"
            case "Equivocated":
                cheats |= 1 << fields["member"]
            case "Sealed" | "Refused" | "MemberJoined" | "MemberLeft" | "Withdrawn":
                pass
            case _:
                raise AssertionError(f"an event that nobody knows: {log}")
