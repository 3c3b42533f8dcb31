"""``bcfl audit`` of a market's task: a stranger checks every wei, report and model of it.

===================  =======================================================================
``audit``            all checks, in order
``gather``           the evidence: ``market.json``, the chain, replayed or live
``evidence``         all that, as plain values
``machine``          the contract once more, in Python, an event at a time: tasks, verifiers
``lives``            a submission, from its draw to its verdict
``outcomes``         what becomes of it, and of the money in it
``state``            what is remembered of tasks and submissions
``chain_checks``     events, transactions, views and money against it
``models``           what was sold, opened; reports, measured again; the fused model, made anew
``claims``           market.json, models, config.yaml, roles
``reported_rounds``  and rounds: result.json, rounds.jsonl
``report``           for people and for machines
===================  =======================================================================
"""
