"""The adversary laboratory: thousands of runs, to see which rule holds against what.

================  =================================================================
``laboratory``    ``bcfl lab``: which runs, and going on where it was cut off
``arena``         one run
``rules``         what decides a round: the protocol's rules, and baselines
``robust``        the baselines' aggregators
``network``       a network as a function of flat vectors of parameters
``table``         what came out: one table, one heat map
================  =================================================================
"""
