"""Learning: loss, schedules, the training loop, checkpoints and logs."""

from ergodual.bilevel.data import Data, InMemory
from ergodual.bilevel.fit import fit
from ergodual.bilevel.history import Epoch, History
from ergodual.bilevel.loss import HalfSquared, Loss, mean_loss
from ergodual.bilevel.schedules import SCHEDULES, Schedule, learning_rate
from ergodual.bilevel.valid import project_

__all__ = [
    "SCHEDULES",
    "Data",
    "Epoch",
    "HalfSquared",
    "History",
    "InMemory",
    "Loss",
    "Schedule",
    "fit",
    "learning_rate",
    "mean_loss",
    "project_",
]
