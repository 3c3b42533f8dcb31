"""The protocol, pure: standard library and NumPy only. Read in this order.

No I/O, no clock, no logging, no global randomness, no mutated input.

=====================  ============================================================
``domain``             the nouns: commitment, rating, ballot, phase, round state
``rules``              the knobs of a task, validated once and digested for the chain
``delta``              S2: Δθ_i = θ'_i − θ_g and its largest ⌈γ·n⌉ entries
``codec``              a delta as canonical bytes; its digest
``indices``            which parameters it changes, in those bytes
``values``             by how much, there, where that takes fewer bits
``whole``              updates that are replies as they are, such as trees
``update``             deltas and whole updates, as all else knows them
``clipping``           no delta longer than the round's median
``verification``       S3: what a reviewer checks before it evaluates
``metric``             which of an app's metrics is the value, and which way it points
``fixed_point``        a metric as the unsigned integer that goes on chain
``scoring``            S4: the points of one ballot (Borda)
``selection``          S4: the winners U^O
``aggregation``        S4: θ_g ← θ_g + η·combine(winners)
``candidates``         the sets of members that are rated instead of single deltas
``coalition``          S4 by proposals that members rate on their own data
``referee``            S4 by proposals that members rate on a reference set
``contract``           what the contract does, as a whole
``proposal_contract``  the same, where members propose
``settlement``         what is said of a round that is settled, and what follows from it
``messages``           the words that are signed (EIP-712)
``record``             what one round was, for whoever reads the run afterwards
=====================  ============================================================
"""
