from .judging.fitness import FitnessRules
from .verification_set import VerificationSet

__all__ = [
    "FitnessRules",
    "VerificationSet",
]
