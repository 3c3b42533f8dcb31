"""``bcfl audit``: a stranger with a run's folder, or a node and the blobs, checks every round.

======================  ====================================================================
``command``             ``bcfl audit RUN_DIR``: prints, writes the report, says 0, 1 or 2
``audit``               all checks, in order
``gather``              the evidence: from the folder, from the chain, replayed or live
``documents``           task.json, journal.jsonl and receipts, read without trust
``plain_files``         the bytes of a foreign folder's files, within bounds
``blobs``               where the blobs are, sealed or not; nothing is changed
``evidence``            all that, as plain values
``history``             the events as rounds: order, phases, deadlines, membership
``phases``              in which phase a round was at a time
``deployment``          how the contract began, who opened and closed rounds
``signatures``          every event held against its transaction
``signed``              whether a member signed what is said to be its own
``ballots``             orders, points, winners, void rounds
``equivocations``       two deltas signed by one member for one round
``omissions``           what was signed and left out, by the server's journal
``receipts``            what was signed and left out, by what members show
``withheld``            whose deltas did not reach the reviewers
``deltas``, ``models``  the blobs, and every global model, bit for bit
``reported_rounds``     rounds.jsonl, against the chain
``reported_result``     result.json and model.safetensors, against chain and models
``measures``            losses and accuracies, measured anew
``task_files``          task.json, config.yaml and checkpoints, against the chain
``findings``            what was found, and who is to blame
``report``              for people and for machines
``market``              the same of a market's task
======================  ====================================================================
"""

from bcfl.audit.command import audit_command

__all__ = ["audit_command"]
