"""Image ResNets whose blocks can change order in depth (needs torch)."""

from mfpde.resnet.image.augment import Augmentation
from mfpde.resnet.image.models import MODELS, ImageResNet, build

__all__ = [
    "MODELS",
    "Augmentation",
    "ImageResNet",
    "build",
]
