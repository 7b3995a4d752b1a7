"""Image ResNets whose blocks can change order in depth (needs torch)."""

from mfpde.resnet.image.augment import Augmentation
from mfpde.resnet.image.data import ImageData, load_images
from mfpde.resnet.image.mean_field import MeanFieldTraining
from mfpde.resnet.image.models import MODELS, ImageResNet, build
from mfpde.resnet.image.stage import RULES, MeanFieldStage

__all__ = [
    "MODELS",
    "RULES",
    "Augmentation",
    "ImageData",
    "ImageResNet",
    "MeanFieldStage",
    "MeanFieldTraining",
    "build",
    "load_images",
]
