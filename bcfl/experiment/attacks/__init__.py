"""Attacks on a run, to show what a strategy withstands: ``attack=<name> attack.fraction=0.3``.

=====================  ====================================================================
``Attack``             the hooks; an attack overrides those it needs
``NoAttack``           everybody is honest (``attack=none``)
``SignFlip``           the update reversed and magnified
``Gaussian``           the update drowned in noise
``LabelFlip``          training and validation labels mirrored
``LyingReviewer``      sign flip, and ballots that rank accomplices first, the honest in reverse
``AttackMod``          runs the hooks inside a Flower client
=====================  ====================================================================
"""

from bcfl.experiment.attacks.attack import Attack, NoAttack
from bcfl.experiment.attacks.gaussian import Gaussian
from bcfl.experiment.attacks.label_flip import LabelFlip
from bcfl.experiment.attacks.lying_reviewer import LyingReviewer
from bcfl.experiment.attacks.mod import AttackMod
from bcfl.experiment.attacks.sign_flip import SignFlip

__all__ = ["Attack", "AttackMod", "Gaussian", "LabelFlip", "LyingReviewer", "NoAttack", "SignFlip"]
