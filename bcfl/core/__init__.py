"""The protocol, pure: standard library and numpy only.

No I/O, no clock, no logging, no global randomness, no mutated input. Read in this order:

=================================  ==========================================================
``domain``                         the nouns: commitment, rating, ballot, phase, round state
``rules``                          the knobs of a task, validated once and digested for the chain
``arrays``                         named arrays as canonical bytes; their digest
``model``                          θ_g: arrays to one flat vector and back
``delta``                          S2: Δθ_i = θ'_i − θ_g and its largest ⌈γ·n⌉ entries
``codec``                          a delta as canonical bytes; its digest
``clipping``                       no delta longer than the round's median
``verification``                   S3: what a reviewer checks before it evaluates
``fixed_point``                    a metric as the unsigned integer that goes on chain
``metric``                         which of an app's metrics is the value, and which way it points
``scoring``                        S4: the points of one ballot (Borda); other rules stand beside it
``selection``                      S4: the winners U^O
``aggregation``                    S4: θ_g ← θ_g + η·combine(winners)
``record``                         what one round was, for whoever reads the run afterwards
``typed_data``                     the words that are signed (EIP-712)
``cid``                            a blob's IPFS address, as Kubo computes it
``market``, ``market_*``           system B: tasks, submissions, the draw, the verdict
``architecture``, ``layers``,      a model described, never pickled
``layer_kinds``, ``model_blob``
``strict_json``                    JSON from strangers
``errors``                         the one error tree
=================================  ==========================================================
"""
