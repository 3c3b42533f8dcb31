"""What its owner lets a signer pay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bcfl.consensus.signer.record import Payment
from bcfl.core.errors import BeyondAllowance, ConfigurationError


@dataclass(frozen=True, slots=True)
class Allowance:
    """Nothing, unless it says otherwise.

    Raises ConfigurationError for a negative limit.
    """

    max_stake_wei: int = 0  #: all deposits together, for as long as the record is kept
    direct: bool = False  #: whether the member's own commitments, proposals and ballots may be sent
    max_gas_wei: int = 10**16  #: gas limit × highest fee, of one transaction
    max_total_gas_wei: int = 10**17  #: the same, of all that were ever signed
    max_bond_wei: int = 0  #: bonds of all challenges together, whether they came back or not

    def __post_init__(self) -> None:
        for name in ("max_stake_wei", "max_gas_wei", "max_total_gas_wei", "max_bond_wei"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"{name}: expected 0 or more; found {getattr(self, name)}")

    def expect_stake(self, value: int, before: Iterable[Payment]) -> None:
        """Raise BeyondAllowance unless ``value`` may be deposited besides ``before``."""
        others = sum(_dearest(before, "value").values())
        if value + others > self.max_stake_wei:
            spent = f", after {others} deposited before" if others else ""
            raise BeyondAllowance(
                f"a deposit of {value} wei{spent}: the owner allows {self.max_stake_wei}; "
                "bcfl signer --max-stake-wei allows more"
            )

    def expect_bond(self, value: int, before: Iterable[Payment]) -> None:
        """Raise BeyondAllowance unless a challenge may put down ``value`` besides ``before``."""
        others = sum(_dearest((x for x in before if x.function == "challenge"), "value").values())
        if value + others > self.max_bond_wei:
            spent = f", after {others} put down before" if others else ""
            raise BeyondAllowance(
                f"a bond of {value} wei{spent}: the owner allows {self.max_bond_wei}; "
                "bcfl signer --max-bond-wei allows more"
            )

    def expect_direct(self, function: str) -> None:
        """Raise BeyondAllowance unless the member may send what it says by itself."""
        if not self.direct:
            raise BeyondAllowance(
                f"{function} costs gas, and the owner allows none; bcfl signer --allow-direct does"
            )

    def expect_gas(self, cost: int, nonce: int, before: Iterable[Payment]) -> None:
        """Raise BeyondAllowance unless a transaction's gas may cost so many wei at most."""
        if cost > self.max_gas_wei:
            raise BeyondAllowance(
                f"a transaction may cost {self.max_gas_wei} wei of gas; this one, up to {cost}; "
                "bcfl signer --max-gas-wei allows more"
            )
        costs = _dearest(before, "gas_cost")
        costs[nonce] = max(cost, costs.get(nonce, 0))
        if (total := sum(costs.values())) > self.max_total_gas_wei:
            raise BeyondAllowance(
                f"all transactions may cost {self.max_total_gas_wei} wei of gas; with this one it "
                f"is up to {total}; bcfl signer --max-total-gas-wei allows more"
            )


def _dearest(payments: Iterable[Payment], what: str) -> dict[int, int]:
    """By nonce, the most that any transaction with it can cost: one of them is mined at most."""
    most: dict[int, int] = {}
    for payment in payments:
        most[payment.nonce] = max(most.get(payment.nonce, 0), getattr(payment, what))
    return most
