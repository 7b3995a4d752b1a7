"""Finite-width ResNets, trained by a code path of their own."""

from mfpde.resnet import observables
from mfpde.resnet._train import TrainingError, load, resume, train, train_shapes
from mfpde.resnet.observables import Snapshot
from mfpde.resnet.optimizers import SGD, Adam, GradientDescent, Langevin, Momentum
from mfpde.resnet.result import Training

__all__ = [
    "SGD",
    "Adam",
    "GradientDescent",
    "Langevin",
    "Momentum",
    "Snapshot",
    "Training",
    "TrainingError",
    "load",
    "observables",
    "resume",
    "train",
    "train_shapes",
]
