"""Gas of the marketplace's calls, from the receipts of the embedded chain.

``python -m tests.contracts.market_gas`` writes the snapshot, ``market_gas.json``, beside this.
Measured is the dear case: everybody's first fee and reward, and a contributor's first stake.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bcfl.chain.embedded.chain import EmbeddedChain
from bcfl.chain.event import Transaction
from bcfl.market.spec.report import Report, seal
from bcfl.market.spec.terms import Conditions, TaskRules
from tests.market.contract.people import People, commitment, digest, public_key

SNAPSHOT = Path(__file__).with_name("market_gas.json")
SEATS = 5
RULES = TaskRules(10**15, 10**13, 500_000, seats=SEATS, quorum=3, redraws=2, members_only=True)
STAKE, BOND = 10**15, 10**16
REPORT = Report(750_000)
SALT = digest("salt")


def measure() -> dict[str, Any]:
    """Every figure of the snapshot."""
    with EmbeddedChain(seed=0) as chain:
        people = People(chain, bond=BOND)
        conditions = Conditions(4, STAKE, people.market.now() + 10**6)
        launched = people["initiator"].launch(digest("description"), RULES, conditions)
        figures = {"launch": chain.connect().receipt(launched.transaction).gas}
        early, late = ([f"{when} {i}" for i in range(SEATS)] for when in ("early", "late"))
        figures["register"] = [people[n].register(public_key(n)) for n in early][-1].gas
        figures["enter"] = [people[n].enter(1, most_wei=BOND) for n in early][-1].gas
        first = sell(people, "contributor")
        figures["leave"] = [people[n].leave(1) for n in early][-1].gas
        # other verifiers, so that every fee of the second panel is somebody's first, too
        for name in late:
            people[name].register(public_key(name))
            people[name].enter(1, most_wei=BOND)
        second = sell(people, "rival")
        figures["withdraw"] = people["rival"].withdraw().gas
        return {
            **figures,
            "submission, 5 verifiers": first,
            "submission, 5 verifiers, after another": second,
        }


def sell(people: People, name: str) -> dict[str, Any]:
    """One submission from publication to payment; gas by call, in the order of calls."""
    contributor, initiator = people[name], people["initiator"]
    submission, secret = digest(f"model of {name}"), digest(f"secret of {name}")
    gas: dict[str, Any] = {}
    gas["submit"] = contributor.submit(1, submission, commitment(secret), most_wei=STAKE).gas
    gas["draw"] = contributor.draw(submission).gas
    gas["grant"] = initiator.grant(submission, digest("grant")).gas
    gas["share"] = contributor.share(submission, digest("keys")).gas
    panel = people.panel(submission)
    gas["seal"] = amounts(
        verifier.seal_report(submission, seal(submission, verifier.account, REPORT, SALT))
        for verifier in panel
    )
    gas["reveal"] = amounts(verifier.reveal_report(submission, REPORT, SALT) for verifier in panel)
    gas["disclose"] = contributor.disclose(submission, secret).gas
    gas["all"] = sum(x if isinstance(x, int) else sum(x) for x in gas.values())
    return gas


def amounts(sent: Iterable[Transaction]) -> list[int]:
    return [transaction.gas for transaction in sent]


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
