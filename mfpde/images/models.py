"""Image ResNets as ordered collections of residual blocks per stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from mfpde import checks
from mfpde.images.blocks import (
    Residual,
    activated,
    aggregated,
    basic,
    convolution,
    preactivated,
)


class ImageResNet(nn.Module):
    """stem, stages of residual blocks, mean over the pixels, linear classifier.

    ``stages[i]`` is a sequence of blocks; its first block halves the image from the second stage
    on, and may change the number of channels. Maps (N, C, H, W) to logits (N, classes).
    """

    def __init__(
        self,
        stem: nn.Module,
        stages: Sequence[Sequence[nn.Module]],
        last: nn.Module,
        head: nn.Module,
    ) -> None:
        super().__init__()
        self.stem, self.last, self.head = stem, last, head
        self.stages = nn.ModuleList(nn.Sequential(*blocks) for blocks in stages)
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.head(self.last(x).mean((2, 3)))

    @property
    def reorderable(self) -> tuple[str, ...]:
        """The runs of equal-shape blocks, named as ``MeanFieldTraining`` takes them."""
        firsts = [0 if _keeps_shape(stage[0]) else 1 for stage in self.stages]
        return tuple(
            f"stages.{i}[{first}:]" if first else f"stages.{i}"
            for i, first in enumerate(firsts)
            if len(self.stages[i]) > first + 1
        )


def _keeps_shape(block: nn.Module) -> bool:
    return isinstance(block, Residual) and isinstance(block.skip, nn.Identity)


def _initialise(module: nn.Module) -> None:
    """Gaussian with variance 2/(fan out), the initialisation of the published networks."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def residual_network(
    blocks: Sequence[int], widths: Sequence[int], *, classes: int = 10, channels: int = 3
) -> ImageResNet:
    """Stages of ``blocks[i]`` two-layer blocks of ``widths[i]`` channels.

    Source: He, Zhang, Ren, Sun 2016, section 4.2.
    """
    stem = nn.Sequential(convolution(channels, widths[0]), *activated(widths[0]))
    stages, inward = [], widths[0]
    for i, (count, width) in enumerate(zip(blocks, widths, strict=True)):
        stride = 1 if i == 0 else 2
        first = basic(inward, width, stride)
        stages.append([first, *(basic(width, width, 1) for _ in range(count - 1))])
        inward = width
    return ImageResNet(stem, stages, nn.Identity(), nn.Linear(inward, classes))


def bottleneck_network(count: int, *, classes: int = 10, channels: int = 3) -> ImageResNet:
    """Three stages of ``count`` pre-activated bottlenecks of widths 16, 32, 64: 9·count + 2 layers.

    Source: He, Zhang, Ren, Sun 2016b (identity mappings), the ResNet-164 at count = 18.
    """
    stages, inward = [], 16
    for i, width in enumerate((16, 32, 64)):
        first = preactivated(inward, width, 1 if i == 0 else 2)
        inward = 4 * width
        stages.append([first, *(preactivated(inward, width, 1) for _ in range(count - 1))])
    last = nn.Sequential(*activated(inward))
    return ImageResNet(convolution(channels, 16), stages, last, nn.Linear(inward, classes))


def aggregated_network(
    groups: int, group_width: int, *, classes: int = 10, channels: int = 3
) -> ImageResNet:
    """Three stages of 3 blocks of ``groups`` paths, ``group_width`` channels each at first.

    Outward channels 256, 512, 1024. Source: Xie, Girshick, Dollár, Tu, He 2017, section 5.3
    (ResNeXt-29, 8×64d and 16×64d).
    """
    stem = nn.Sequential(convolution(channels, 64), *activated(64))
    stages, inward, width = [], 64, groups * group_width
    for i, outward in enumerate((256, 512, 1024)):
        first = aggregated(inward, width, 1 if i == 0 else 2, groups, outward)
        rest = (aggregated(outward, width, 1, groups, outward) for _ in range(2))
        stages.append([first, *rest])
        inward, width = outward, 2 * width
    return ImageResNet(stem, stages, nn.Identity(), nn.Linear(inward, classes))


def _cifar(depth: int) -> Callable[..., ImageResNet]:
    return partial(residual_network, [(depth - 2) // 6] * 3, (16, 32, 64))


MODELS: dict[str, Callable[..., ImageResNet]] = {
    **{f"resnet{depth}": _cifar(depth) for depth in (20, 32, 44, 56, 110)},
    "resnet164": partial(bottleneck_network, 18),
    "resnext29_8x64d": partial(aggregated_network, 8, 64),
    "resnext29_16x64d": partial(aggregated_network, 16, 64),
    "small": partial(residual_network, (6, 6), (8, 16)),
    "tiny": partial(residual_network, (3, 2), (4, 8)),
}


def build(name: str, *, classes: int = 10, channels: int = 3) -> ImageResNet:
    """The network of that name with fresh weights from torch's global generator.

    "resnet20", "resnet32", "resnet44", "resnet56", "resnet110" (He et al. 2016), "resnet164"
    (pre-activated bottlenecks, He et al. 2016b), "resnext29_8x64d", "resnext29_16x64d" (Xie et al.
    2017); "small" and "tiny" (two stages) are ours, for 8×8 images. Raises ValueError otherwise.
    """
    checks.choice("name", name, MODELS)
    return MODELS[name](
        classes=checks.count("classes", classes, least=2),
        channels=checks.count("channels", channels),
    )
