"""The server's side of peer consensus, which ``bcfl.strategies.PeerConsensus`` drives.

==================  ===============================================================
``task``            beginning a task, and finding it again
``members``         who takes part, and by whose leave
``conversation``    talking to the members by way of Flower
``round``           one round, from opening to closing
``coordinator``     what the server does on the chain, and keeps
``signed_round``    what members signed, until it is on chain
``round_log``       what each round was: rounds.jsonl
``inner_strategy``  another strategy of Flower's, in charge of the winners
==================  ===============================================================
"""
