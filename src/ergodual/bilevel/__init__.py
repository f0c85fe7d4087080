"""Learning: loss, schedules, the training loop, checkpoints and logs."""

from ergodual.bilevel.fit import fit
from ergodual.bilevel.history import Epoch, History
from ergodual.bilevel.loss import HalfSquared, Loss, mean_loss
from ergodual.bilevel.schedules import SCHEDULES, Schedule, learning_rate

__all__ = ["SCHEDULES", "Epoch", "HalfSquared", "History", "Loss", "Schedule", "fit", "learning_rate", "mean_loss"]
