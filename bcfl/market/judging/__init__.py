"""What a verifier measures and reports.

===============  ==================================================================
``fitness``      the accuracy of the whole with a model, or why there is none
``originality``  whether a model is a copy of another
``baseline``     what the public samples alone give
===============  ==================================================================
"""
