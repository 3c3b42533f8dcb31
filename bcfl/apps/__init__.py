"""What people start.

==========================================  ==========================================
``cli``, ``key_file``                       the ``bcfl`` command
``task``, ``consensus_round``,              the server's side of peer consensus, which
``coordinator``, ``signed_round``,          ``bcfl.strategies.PeerConsensus`` drives
``round_log``, ``repeated_round``,
``inner_strategy``
``members``, ``stake``                      who takes part, and by whose leave
``run``, ``resume``, ``hydra_entry``,       one experiment, from configuration to folder
``configuration``, ``mistakes``,
``recorder``, ``result``, ``run_folder``,
``redaction``, ``sweep``, ``terminal``
``experiment``                              data, partitions, models, training, engines
``attacks``                                 what malicious clients do
``audit``                                   every round of a run, recomputed
``flower_app``, ``cluster``                 as a Flower app; in processes of its own
``market``                                  models, their fusion, and the roles that trade
==========================================  ==========================================
"""
