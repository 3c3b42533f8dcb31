"""The marketplace's rules, pure: standard library and NumPy only.

===================  ==============================================================
``terms``            tasks, their conditions, submissions and what they cost
``draw``             which verifiers a panel consists of
``report``           what a verifier reports, and when most of them accept
``offer``            what a contributor publishes of its model
``architecture``,    a model described, never pickled
``layers``,
``layer_kinds``
``model_blob``       a trained model as canonical bytes
===================  ==============================================================
"""
