# pragma version 0.4.3
"""
@title Model marketplace
@license Apache-2.0
@notice Initiators ask for models and deposit their price; contributors train and submit models,
        encrypted; verifiers, drawn by lot for each submission, report how good it is; the
        contract pays. System B of PROTOCOL (arXiv 1807.02515, Mendis et al.).

        One contract holds any number of tasks: one registration as a verifier, and one address
        to watch, for all of them. Each task has a pool of its own, which a verifier enters by
        itself, having seen the terms, at a bond that follows from them.

        Who may call what, and when. Every deadline is inclusive, and `settle` is possible from
        the second after it. "Panel" is a verifier drawn for the submission, "pool" one that has
        entered the task's.

        | call     | who                | phase, before -> after                           |
        | launch   | anyone             | -> a task                                        |
        | register | anyone, once       | any time                                         |
        | enter    | registered, not    | any time                                         |
        |          | the initiator      |                                                  |
        | leave    | pool               | while no panel waits for it, and no submission   |
        |          |                    | for its panel                                    |
        | submit   | not the pool       | task open and funded, and a pool as large as a   |
        |          |                    | panel -> DRAW                                    |
        | draw     | anyone             | DRAW -> GRANT; again DRAW if the pool was too    |
        |          |                    | small                                            |
        | grant    | the initiator      | GRANT -> SHARE                                   |
        | share    | the contributor    | SHARE -> SEAL                                    |
        | seal     | panel, once        | SEAL -> SEAL, or REVEAL with the last            |
        | reveal   | panel that sealed  | REVEAL -> REVEAL, or DISCLOSE, REJECTED, DRAW or |
        |          |                    | VOID, JUNK with the last                         |
        | disclose | who has the key    | DISCLOSE -> PAID                                 |
        | settle   | anyone             | DRAW to DISCLOSE past the deadline -> onward     |
        | collect  | anyone             | task closed                                      |
        | withdraw | anyone             | any time, own credit                             |

        Verdict. Accepted if at least a quorum has reported and more than half of those who did
        found more than MAFR. Who reports is paid in the same call, whatever it found. If more
        than half say that it is no model, or a copy, the submission is junk: the stake is
        forfeited, and another may take its place.

        Vanished verifiers. Who does not seal, or not reveal, in time is struck off, loses the
        bond, and is replaced by a new draw, at most `redraws` times; then the submission is
        void. Who has sealed is always given the chance to reveal, and is paid.

        Payment and disclosure are one step: see `market_keys`, which says how the panel, and
        then the initiator, and nobody else, come to open the model.

        Who can be made to lose what. A verifier: its bond, by vanishing. A contributor: its
        stake, by a draw that nobody makes although the pool is large enough, by not sharing or
        not disclosing, and by junk. The initiator: reward and fees of a submission to whose
        panel it does not grant what it promised; a panel's fees for each of at most
        `submissions` models, however bad they are, and for each junk one, which costs its
        author no less; nothing for void ones, but for the reports made on them. All that is
        forfeited is burnt: `market_verdict` says why. `market_terms` says what makes peeking,
        and looking for a panel, no cheaper than buying, and than being honest.

        What is left to trust. (1) The producer of the anchor block can try as many candidate
        blocks as it can hash in its time and publish the one whose hash draws the panel it
        likes best, or none; nobody else can bend the draw. Where producers know when their turn
        comes, choose DRAW_DELAY beyond that horizon (Ethereum: 64 blocks); on a private chain,
        let no verifier produce blocks. (2) A majority of a panel that colludes decides, and
        any one of it can pass on the model and the samples that it was measured by; bonds,
        locked while the names are in the pool, are what many names cost. An initiator most of
        whose panel are its own names sees a model and need not buy it. (3) Reports are sealed until a quorum's seals are
        in, so nobody can copy; only who replaces one that sealed and did not reveal can see
        others' reports. (4) Who sees a submission in a mempool can submit its digest first; it
        cannot share the keys; the author encrypts anew, and binds its address into the blob.
        (5) Ether forced upon the contract without a call is lost.
"""

import market_accounts
import market_keys
import market_panel
import market_reports
import market_submissions
import market_tasks
import market_terms
import market_verdict
import market_verifiers

initializes: market_accounts
initializes: market_terms
initializes: market_tasks[market_accounts := market_accounts, market_terms := market_terms]
initializes: market_verifiers[
    market_accounts := market_accounts,
    market_tasks := market_tasks,
    market_terms := market_terms,
]
initializes: market_submissions[
    market_accounts := market_accounts,
    market_terms := market_terms,
    market_verifiers := market_verifiers,
]
initializes: market_verdict[
    market_submissions := market_submissions,
    market_tasks := market_tasks,
    market_terms := market_terms,
    market_verifiers := market_verifiers,
]
initializes: market_keys[
    market_accounts := market_accounts,
    market_submissions := market_submissions,
    market_tasks := market_tasks,
    market_terms := market_terms,
]
initializes: market_reports[
    market_accounts := market_accounts,
    market_submissions := market_submissions,
    market_terms := market_terms,
    market_verdict := market_verdict,
    market_verifiers := market_verifiers,
]

exports: (
    market_accounts.account,
    market_accounts.withdraw,
    market_keys.disclose,
    market_keys.grant,
    market_keys.share,
    market_reports.reveal,
    market_reports.seal,
    market_tasks.collect,
    market_tasks.launch,
    market_tasks.task,
    market_tasks.tasks,
    market_terms.BOND,
    market_terms.DRAW_DELAY,
    market_verifiers.bond,
    market_verifiers.enter,
    market_verifiers.leave,
    market_verifiers.place,
    market_verifiers.pool,
    market_verifiers.register,
    market_verifiers.row,
)


struct Submission:
    contributor: address
    key_commitment: bytes32
    panel: DynArray[address, market_panel.SEATS]  # by seat; empty where nobody sits
    reserved: uint256  # wei set aside for it, beside its stake
    state: market_submissions.State  # as of now, with what time alone has changed


event Submitted:
    task: indexed(uint256)
    submission: indexed(bytes32)
    contributor: indexed(address)
    key_commitment: bytes32
    number: uint256


@deploy
def __init__(bond: uint256, draw_delay: uint256):
    """
    @param bond The least that a verifier deposits to enter a task's pool, in wei.
    @param draw_delay Blocks, 2 to 128, from a submission to the block that draws its panel. Of
           one, whoever makes the block with the submission could make the other, too.
    """
    market_terms.__init__(bond, draw_delay)


@external
@payable
def submit(task: uint256, submission: bytes32, key_commitment: bytes32):
    """
    @notice Offer a model. Anyone who is not in the task's pool, with the task's stake.
    @param task The number of the task.
    @param submission SHA-256 of the encrypted model in the blob store: its name from now on.
    @param key_commitment keccak256 of the 32 bytes that `disclose` will publish.
    """
    assert submission != empty(bytes32), "model marketplace: no digest"
    assert key_commitment != empty(bytes32), "model marketplace: no key commitment"
    author: address = market_submissions._contributors[submission]
    assert author == empty(address), "model marketplace: already submitted"
    rules: market_terms.Rules = market_terms._rules_of(task)
    conditions: market_terms.Conditions = market_terms._conditions_of(task)
    pot: market_tasks.Pot = market_tasks._set_aside(task, rules, conditions)
    stake: uint256 = convert(conditions.stake, uint256)
    assert msg.value == stake, "model marketplace: the stake, and no other sum"
    position: uint256 = market_verifiers._place(task, msg.sender).position
    assert position == 0, "model marketplace: a verifier of the task does not submit to it"
    entered: uint256 = market_verifiers._row(task).entered
    assert entered >= convert(rules.seats, uint256), "model marketplace: too few verifiers"
    market_submissions._contributors[submission] = msg.sender
    market_submissions._commitments[submission] = key_commitment
    state: market_submissions.State = empty(market_submissions.State)
    state.task = task
    state.seats = convert(rules.seats, uint256)
    log Submitted(
        task=task,
        submission=submission,
        contributor=msg.sender,
        key_commitment=key_commitment,
        number=pot.opened,
    )
    market_submissions._arm(submission, state)


@external
def draw(submission: bytes32):
    """
    @notice Draw the panel by the anchor block's hash; or arm the draw again, if there were too
            few verifiers. Neither the contributor nor the initiator is drawn. The deadline
            stays.
    @param submission Its digest.
    """
    state: market_submissions.State = market_submissions._state(submission)
    assert state.phase == market_submissions.DRAW, "model marketplace: no draw is due"
    assert not market_submissions._has_lapsed(state), "model marketplace: too late to draw"
    assert block.number > state.anchor, "model marketplace: too early to draw"
    if block.number > state.anchor + market_submissions.HORIZON:
        market_submissions._rearm(submission, state)
        return
    panel: uint256 = market_verifiers._fill(
        state.task,
        submission,
        market_submissions._panels[submission],
        state.seats,
        sha256(concat(blockhash(state.anchor), submission)),
        state.first,
        state.length,
        market_submissions._contributors[submission],
    )
    market_submissions._panels[submission] = panel
    if market_panel._seat_of(panel, 0) < state.seats:
        market_submissions._rearm(submission, state)
        return
    market_tasks._end_draw(state.task)
    state.phase = market_submissions.GRANT
    state.deadline = market_terms._answer_deadline(state.task)
    market_submissions._keep(submission, state)


@external
def settle(submission: bytes32):
    """
    @notice Draw the consequences of a deadline that has passed.
    @param submission Its digest.
    """
    state: market_submissions.State = market_submissions._current(submission)
    unfinished: bool = (
        state.phase >= market_submissions.DRAW and state.phase <= market_submissions.DISCLOSE
    )
    assert unfinished, "model marketplace: nothing to settle"
    assert market_submissions._has_lapsed(state), "model marketplace: not due yet"
    if state.phase == market_submissions.DISCLOSE:
        state.cause = market_submissions.DISCLOSE
        market_verdict._void(submission, state)
    elif state.phase == market_submissions.REVEAL:
        market_verdict._conclude(submission, state)
    elif state.phase == market_submissions.SEAL:
        market_verdict._replace(submission, state)
    else:
        market_verdict._abandon(submission, state)


@external
@view
def submission(submission: bytes32) -> Submission:
    """
    @notice Everything about a submission, as of now; a phase of 0 if there is none.
    @param submission Its digest.
    """
    state: market_submissions.State = market_submissions._current(submission)
    seated: uint256 = market_submissions._panels[submission]
    panel: DynArray[address, market_panel.SEATS] = []
    for seat: uint256 in range(state.seats, bound=market_panel.SEATS):
        number: uint256 = market_panel._number_at(seated, seat)
        panel.append(market_verifiers._address_of(number))
    return Submission(
        contributor=market_submissions._contributors[submission],
        key_commitment=market_submissions._commitments[submission],
        panel=panel,
        reserved=market_submissions._reserved(state),
        state=state,
    )
