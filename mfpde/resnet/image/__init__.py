"""Image ResNets whose blocks can change order in depth (needs torch)."""

from mfpde.resnet.image.augment import Augmentation
from mfpde.resnet.image.compare import Gain, Row, cost_ratios, first_loss, paired_gain, summarise
from mfpde.resnet.image.data import ImageData, load_images
from mfpde.resnet.image.mean_field import MeanFieldTraining
from mfpde.resnet.image.models import MODELS, ImageResNet, build
from mfpde.resnet.image.recipe import Recipe
from mfpde.resnet.image.records import Run, execute_all, read_records
from mfpde.resnet.image.stage import RULES, MeanFieldStage
from mfpde.resnet.image.training import History, Trainer, compile_blocks, train_images

__all__ = [
    "MODELS",
    "RULES",
    "Augmentation",
    "Gain",
    "History",
    "ImageData",
    "ImageResNet",
    "MeanFieldStage",
    "MeanFieldTraining",
    "Recipe",
    "Row",
    "Run",
    "Trainer",
    "build",
    "compile_blocks",
    "cost_ratios",
    "execute_all",
    "first_loss",
    "load_images",
    "paired_gain",
    "read_records",
    "summarise",
    "train_images",
]
