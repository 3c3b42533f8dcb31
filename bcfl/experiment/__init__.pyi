from .attacks import Attack, Gaussian, LabelFlip, LyingReviewer, NoAttack, SignFlip
from .datasets.digits import load_digits
from .datasets.downloaded import load_cifar10, load_mnist
from .datasets.images import Images
from .datasets.mnist_test import load_mnist_test
from .kept_run import KeptRun
from .market.market_simulation import MarketScenario
from .scenario import CentralScenario, ConsensusScenario, Scenario

__all__ = [
    "Attack",
    "CentralScenario",
    "ConsensusScenario",
    "Gaussian",
    "Images",
    "KeptRun",
    "LabelFlip",
    "LyingReviewer",
    "MarketScenario",
    "NoAttack",
    "Scenario",
    "SignFlip",
    "load_cifar10",
    "load_digits",
    "load_mnist",
    "load_mnist_test",
]
