"""Image ResNets whose blocks can change order in depth (needs torch)."""

try:
    import torch  # noqa: F401
except ImportError:
    raise ImportError("mfpde.images needs torch: pip install 'mfpde[torch]'") from None

from mfpde.images.augment import Augmentation
from mfpde.images.data import ImageData, load_images
from mfpde.images.mean_field import MeanFieldTraining
from mfpde.images.models import MODELS, ImageResNet, build
from mfpde.images.recipe import Recipe
from mfpde.images.records import Run, execute_all, read_records
from mfpde.images.stage import RULES, MeanFieldStage
from mfpde.images.training import History, Trainer, compile_blocks, train_images

__all__ = [
    "MODELS",
    "RULES",
    "Augmentation",
    "History",
    "ImageData",
    "ImageResNet",
    "MeanFieldStage",
    "MeanFieldTraining",
    "Recipe",
    "Run",
    "Trainer",
    "build",
    "compile_blocks",
    "execute_all",
    "load_images",
    "read_records",
    "train_images",
]
