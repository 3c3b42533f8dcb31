# pragma version 0.4.3
"""
@title Pull payments
@license Apache-2.0
@notice What the contract owes to whom. Whoever is owed fetches it, so that nobody's refusal
        to be paid can stop anybody else.
"""

event Withdrawn:
    account: indexed(address)
    amount: uint256

# In wei, by account.
withdrawable: public(HashMap[address, uint256])


@internal
def _credit(account: address, amount: uint256):
    """
    @notice Owes `account` so much more.
    """
    self.withdrawable[account] += amount


@external
def withdraw() -> uint256:
    """
    @notice Pays the sender all that it is owed, and says how much that was.
    @dev The debt is gone before the money goes, so that calling again from within finds none.
    """
    amount: uint256 = self.withdrawable[msg.sender]
    assert amount != 0, "pull payments: nothing to withdraw"
    self.withdrawable[msg.sender] = 0
    log Withdrawn(account=msg.sender, amount=amount)
    raw_call(msg.sender, b"", value=amount)
    return amount
