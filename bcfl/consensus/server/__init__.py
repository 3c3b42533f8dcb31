"""The server's side of peer consensus, which ``bcfl.strategies.PeerConsensus`` drives.

==================  ===============================================================
``task``            beginning a task, and finding it again
``members``         who takes part, and by whose leave
``conversation``    talking to the members by way of Flower
``round``           one of Flower's rounds, S2 to S4
``coordinator``     what the server does on the chain, and keeps
``signed_round``    what members signed, until it is on chain
``signed_checks``   what of it the contract would take
``metrics``         what members report of their training and evaluation
``round_log``       what each round was
``inner_strategy``  another strategy of Flower's, around it or in charge of the winners
==================  ===============================================================
"""
