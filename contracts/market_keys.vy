# pragma version 0.4.3
"""
@title Model marketplace: keys
@license Apache-2.0
@notice Who gets to open a model, and when: the panel before it votes, the initiator by paying;
        and when the panel gets the samples that it measures by.
@dev A submission names the keccak256 of a secret of 32 bytes. The panel gets the secret, and
     checks before it votes that it has that hash and opens the model; `disclose` takes the
     very same secret and pays. So what is published at payment is what the panel judged, and
     nobody is paid without publishing it.

     Strangers see the chain, too. In a task for members only the model's key is therefore
     derived from two parts: the secret, and `shared`, which the contributor encrypts to the
     initiator when it submits, in a way that everybody who knows `shared` can repeat. The
     panel gets both parts and repeats it: so the initiator is sure to have the one, and to get
     the other by paying. `bcfl.keys.sealing` is the cryptography.

     The samples that a model is measured by are secret until it is in: the description has
     their digest only. With `grant` the initiator opens them to the panel, after it was drawn
     and so after the model was named for good: nobody is paid for having learnt them by heart.
     In a task for members only the grant also has the `shared` of each model bought before,
     which the panel must fuse. An initiator that does not grant, or that grants something else
     than it had promised, as most of the panel say, pays as if it had bought the model: else
     it could look at a panel first, and grant only to one that is its own. Who has sat on a
     panel can pass its samples on; a description may therefore have several such sets, for the
     first, the second, … submission (`bcfl.market.spec.report.measuring_set_of`).
"""

import market_accounts
import market_submissions
import market_tasks
import market_terms

uses: market_accounts
uses: market_submissions
uses: market_tasks
uses: market_terms


event Granted:
    submission: indexed(bytes32)
    opening: bytes32


event Shared:
    submission: indexed(bytes32)
    keys: bytes32


event Disclosed:
    submission: indexed(bytes32)
    contributor: indexed(address)
    key: bytes32


@external
def grant(submission: bytes32, opening: bytes32):
    """
    @notice The initiator opens to this panel the samples to measure by and, where they are for
            members only, the models bought before this one was submitted.
    @param submission Its digest.
    @param opening SHA-256 of a blob, encrypted to the members of the panel.
    """
    state: market_submissions.State = market_submissions._state(submission)
    assert state.phase == market_submissions.GRANT, "model marketplace: no grant is due"
    assert block.timestamp <= state.deadline, "model marketplace: too late to grant"
    initiator: address = market_tasks._initiator_of(state.task)
    assert msg.sender == initiator, "model marketplace: not the initiator"
    assert opening != empty(bytes32), "model marketplace: no digest"
    state.phase = market_submissions.SHARE
    state.deadline = market_terms._answer_deadline(state.task)
    market_submissions._keep(submission, state)
    log Granted(submission=submission, opening=opening)


@external
def share(submission: bytes32, keys: bytes32):
    """
    @notice The contributor gives the panel what opens the model.
    @param submission Its digest.
    @param keys SHA-256 of a blob, encrypted to the members of the panel.
    """
    state: market_submissions.State = market_submissions._state(submission)
    assert state.phase == market_submissions.SHARE, "model marketplace: no keys are due"
    assert block.timestamp <= state.deadline, "model marketplace: too late to share"
    contributor: address = market_submissions._contributors[submission]
    assert msg.sender == contributor, "model marketplace: not the contributor"
    assert keys != empty(bytes32), "model marketplace: no digest"
    state.phase = market_submissions.SEAL
    state.deadline = market_terms._report_deadline(state.task)
    market_submissions._keep(submission, state)
    log Shared(submission=submission, keys=keys)


@external
def disclose(submission: bytes32, key: bytes32):
    """
    @notice Publish the secret of an accepted model and pay its contributor, in one step.
            Whoever has the secret may call this: all it can do is to have the contributor paid.
    @param submission Its digest.
    @param key The secret.
    """
    state: market_submissions.State = market_submissions._state(submission)
    assert state.phase == market_submissions.DISCLOSE, "model marketplace: no key is due"
    assert block.timestamp <= state.deadline, "model marketplace: too late to disclose"
    commitment: bytes32 = market_submissions._commitments[submission]
    assert keccak256(key) == commitment, "model marketplace: not the committed key"
    contributor: address = market_submissions._contributors[submission]
    rules: market_terms.Rules = market_terms._rules_of(state.task)
    state.phase = market_submissions.PAID
    market_submissions._keep(submission, state)
    stake: uint96 = market_terms._conditions_of(state.task).stake
    due: uint256 = convert(rules.reward, uint256) + convert(stake, uint256)
    market_accounts._credit(contributor, due)
    market_tasks._finish(state.task, True, True)
    log Disclosed(submission=submission, contributor=contributor, key=key)
