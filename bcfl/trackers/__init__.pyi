from .mlflow import MlflowTracker
from .tensorboard import TensorboardTracker
from .tracker import Tracker
from .trackio import TrackioTracker
from .wandb import WandbTracker

__all__ = [
    "MlflowTracker",
    "TensorboardTracker",
    "Tracker",
    "TrackioTracker",
    "WandbTracker",
]
