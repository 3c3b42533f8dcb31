"""``bcfl audit``: a stranger with a run's folder, or a node and the blobs, checks every round.

======================  ====================================================================
``command``             ``bcfl audit RUN_DIR``: prints, writes the report, says 0, 1 or 2
``audit``               all checks, in order
``gather``              the evidence: from the folder, from the chain, replayed or live
``blobs``, ``files``    reading whatever is there, sealed or not, and changing nothing
``evidence``            what that is, as plain values
``papers``              task, journal and receipts, read without trust
``history``             the events as rounds: order, phases, deadlines, membership
``phases``              in which phase a round was at a time
``deployment``          how the contract began, who opened and closed rounds
``signatures``          who signed and who sent what
``ballots``             orders, points, winners, void rounds
``equivocations``       two deltas signed by one member for one round
``omissions``           what was signed and left out
``deltas``, ``models``  the blobs, and every global model, bit for bit
``claims``              rounds.jsonl, against the chain
``results``             result.json and model.safetensors, against chain and models
``folder_files``        task.json, config.yaml, checkpoints
``findings``            what was found, and whose doing it is
``report``              for people and for machines
======================  ====================================================================
"""

from bcfl.audit.command import audit_command

__all__ = ["audit_command"]
