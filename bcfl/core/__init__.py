"""What every other package stands on, pure: standard library and NumPy only.

===============  ==================================================================
``errors``       the one error tree
``arrays``       named arrays as canonical bytes; their digest
``model``        θ_g: arrays to one flat vector and back
``strict_json``  JSON from strangers
===============  ==================================================================
"""
