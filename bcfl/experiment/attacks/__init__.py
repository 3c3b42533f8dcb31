"""Attacks on a run, to show what a strategy withstands: ``attack=<name> attack.fraction=0.4``.

An attack is a function of what its coalition knows, which is all that the honest have and send.
One file each, one YAML each in ``conf/attack/``:

======================  ===================================================================
``Attack``, ``Known``   the hooks, and what a coalition knows
``NoAttack``            everybody is honest (``attack=none``)
``SignFlip``            the update reversed and magnified
``Gaussian``            the update drowned in noise
``LabelFlip``           training and validation labels mirrored
``Alie``                a step aside within the honest updates' spread
``Ipm``                 the honest mean reversed
``MinMax``, ``MinSum``  the largest step aside that looks no farther than the honest
``FangTrimmedMean``     values just beyond the honest ones
``FangKrum``            the largest step that Krum would choose
``Mimic``               one honest client, repeated
``FreeRider``           noise in place of training
``Stale``               the last round's step, repeated
``Plagiarist``          the best honest update, copied
``Backdoor``            a pattern in a corner means class 0
``ModelReplacement``    the same, magnified
``Sleeper``             sign flip from half of the run on
``SupportStuffing``     values where nobody else sends any
``PoisonedFl``          one random direction in all rounds
``ReferenceFitting``    the reference set by heart, and wrong labels elsewhere
``PoisonedReference``   wrong labels in the reference set, too
``Bandit``              whichever of several has paid most so far
``AttackMod``           runs the hooks inside a Flower client
======================  ===================================================================

Each takes ``ballots``: how its reviewers vote.
"""

from bcfl.experiment.attacks.alie import Alie
from bcfl.experiment.attacks.attack import Attack, Known, NoAttack
from bcfl.experiment.attacks.backdoor import Backdoor
from bcfl.experiment.attacks.bandit import Bandit
from bcfl.experiment.attacks.fang_krum import FangKrum
from bcfl.experiment.attacks.fang_trimmed_mean import FangTrimmedMean
from bcfl.experiment.attacks.free_rider import FreeRider
from bcfl.experiment.attacks.gaussian import Gaussian
from bcfl.experiment.attacks.ipm import Ipm
from bcfl.experiment.attacks.label_flip import LabelFlip
from bcfl.experiment.attacks.mimic import Mimic
from bcfl.experiment.attacks.min_max import MinMax
from bcfl.experiment.attacks.min_sum import MinSum
from bcfl.experiment.attacks.mod import AttackMod
from bcfl.experiment.attacks.model_replacement import ModelReplacement
from bcfl.experiment.attacks.plagiarist import Plagiarist
from bcfl.experiment.attacks.poisoned_fl import PoisonedFl
from bcfl.experiment.attacks.poisoned_reference import PoisonedReference
from bcfl.experiment.attacks.reference_fitting import ReferenceFitting
from bcfl.experiment.attacks.sign_flip import SignFlip
from bcfl.experiment.attacks.sleeper import Sleeper
from bcfl.experiment.attacks.stale import Stale
from bcfl.experiment.attacks.support_stuffing import SupportStuffing

__all__ = [
    "Alie",
    "Attack",
    "AttackMod",
    "Backdoor",
    "Bandit",
    "FangKrum",
    "FangTrimmedMean",
    "FreeRider",
    "Gaussian",
    "Ipm",
    "Known",
    "LabelFlip",
    "Mimic",
    "MinMax",
    "MinSum",
    "ModelReplacement",
    "NoAttack",
    "Plagiarist",
    "PoisonedFl",
    "PoisonedReference",
    "ReferenceFitting",
    "SignFlip",
    "Sleeper",
    "Stale",
    "SupportStuffing",
]
