# pragma version 0.4.3
"""
@title Model marketplace: accounts
@license Apache-2.0
@notice What the market owes an address, and its number as a verifier; and what is burnt.
@dev Pull payments: money leaves through `withdraw` alone, at the owner's own call and risk.
     The credit is gone before the ether leaves, so that a receiver which calls back finds
     nothing to take. What is forfeited leaves at once, to the zero address, which nobody has
     the key of and which has no code that could refuse it or call back: it goes to nobody who
     could have brought the forfeit about, because it goes to nobody.
"""


event Withdrawn:
    owner: indexed(address)
    amount: uint256


event Burnt:
    submission: indexed(bytes32)
    amount: uint256


struct Account:
    credit: uint256  # wei that `withdraw` pays out; 128 bits
    number: uint256  # the verifier's number, from 1, kept for ever; 0: never registered; 24 bits


_accounts: HashMap[address, uint256]


@external
def withdraw() -> uint256:
    """
    @notice Take everything that the market owes the sender. Anyone, at any time.
    @return The amount in wei.
    """
    account: Account = self._account(msg.sender)
    amount: uint256 = account.credit
    assert amount != 0, "model marketplace: nothing to withdraw"
    account.credit = 0
    self._keep(msg.sender, account)
    log Withdrawn(owner=msg.sender, amount=amount)
    paid: bool = raw_call(msg.sender, b"", value=amount, revert_on_failure=False)
    assert paid, "model marketplace: payment refused"
    return amount


@external
@view
def account(owner: address) -> Account:
    """
    @notice What the market knows of an address; zeros if it was never here.
    @param owner The address.
    """
    return self._account(owner)


@internal
def _credit(owner: address, amount: uint256):
    """
    @dev All ether ever made is below 2**87 wei, so the credit never runs into its neighbours.
    """
    self._accounts[owner] += amount


@internal
def _burn(submission: bytes32, amount: uint256):
    """
    @notice What somebody forfeited over a submission is gone for good.
    """
    if amount != 0:
        log Burnt(submission=submission, amount=amount)
        send(empty(address), amount)


@internal
@view
def _account(owner: address) -> Account:
    word: uint256 = self._accounts[owner]
    return Account(
        credit=word & (2**128 - 1),
        number=word >> 128,
    )


@internal
def _keep(owner: address, account: Account):
    self._accounts[owner] = account.credit | account.number << 128
