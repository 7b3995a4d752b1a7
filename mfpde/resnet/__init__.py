"""Finite-width ResNets, trained by a code path of their own."""

from mfpde.resnet import observables
from mfpde.resnet.observables import Snapshot
from mfpde.resnet.optimizers import SGD, Adam, GradientDescent, Langevin, Momentum
from mfpde.resnet.result import Training
from mfpde.resnet.train import TrainingError, resume, train, train_shapes

__all__ = [
    "SGD",
    "Adam",
    "GradientDescent",
    "Langevin",
    "Momentum",
    "Snapshot",
    "Training",
    "TrainingError",
    "observables",
    "resume",
    "train",
    "train_shapes",
]
