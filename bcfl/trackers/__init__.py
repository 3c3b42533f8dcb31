"""A run followed in an experiment tracker: accuracy, loss, winners, gas, seconds, who rated whom.

===============  ==================================================================
``tracker``      what all have in common: rounds in, numbers and a picture out
``picture``      a round's ballots as an image
``tensorboard``  each of the others: one library, by the extra of the same name
``mlflow``
``wandb``
``trackio``
===============  ==================================================================
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
