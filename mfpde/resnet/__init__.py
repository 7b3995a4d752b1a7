"""Finite-width ResNets, trained by a code path of their own."""

from mfpde.resnet.train import Training, train

__all__ = ["Training", "train"]
