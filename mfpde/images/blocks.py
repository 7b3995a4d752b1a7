"""Residual blocks of image networks, each of which can scale its own branch."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional


class Residual(nn.Module):
    """x ↦ after(skip(h) + scale · last(branch(h))), h = before(x); ``scale`` is 1 unless given.

    ``scale`` is a tensor of no axes. ``last``, a convolution without bias or a batch norm, is
    linear in its parameters: they carry the scale, which therefore costs nothing per pixel, in
    either direction, and at 1 changes no bit.
    """

    def __init__(
        self,
        branch: Sequence[nn.Module],
        skip: nn.Module | None = None,
        before: nn.Module | None = None,
        after: nn.Module | None = None,
    ) -> None:
        super().__init__()
        *first, self.last = branch
        self.before, self.branch = before or nn.Identity(), nn.Sequential(*first)
        self.skip, self.after = skip or nn.Identity(), after or nn.Identity()

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        h = self.before(x)
        inner = self.branch(h)
        added = self.last(inner) if scale is None else scaled(self.last, inner, scale)
        return self.after(self.skip(h) + added)


def scaled(layer: nn.Module, x: Tensor, scale: Tensor) -> Tensor:
    """scale · layer(x), by the layer's own parameters."""
    weight = layer.weight * scale
    if isinstance(layer, nn.Conv2d):
        return functional.conv2d(
            x, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups
        )
    if layer.training:
        layer.num_batches_tracked.add_(1)
    means = (layer.running_mean, layer.running_var)
    bias = layer.bias * scale
    return functional.batch_norm(x, *means, weight, bias, layer.training, layer.momentum, layer.eps)


class Subsample(nn.Module):
    """The skip without parameters: every ``stride``-th pixel, new channels zero (He et al. A)."""

    def __init__(self, new_channels: int, stride: int) -> None:
        super().__init__()
        self.new_channels, self.stride = new_channels, stride

    def forward(self, x: Tensor) -> Tensor:
        return functional.pad(
            x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels)
        )


def convolution(
    inward: int, outward: int, size: int = 3, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    """A convolution that keeps the image's size (but for ``stride``), without a bias."""
    return nn.Conv2d(inward, outward, size, stride, padding=size // 2, groups=groups, bias=False)


def normalised(inward: int, outward: int, *shape: int) -> list[nn.Module]:
    """Convolution, then batch normalisation."""
    return [convolution(inward, outward, *shape), nn.BatchNorm2d(outward)]


def activated(channels: int) -> list[nn.Module]:
    """Batch normalisation, then ReLU."""
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


def basic(inward: int, width: int, stride: int) -> Residual:
    """Two 3×3 convolutions and ReLU after the sum. Source: He, Zhang, Ren, Sun 2016, CIFAR."""
    branch = [
        *normalised(inward, width, 3, stride),
        nn.ReLU(inplace=True),
        *normalised(width, width),
    ]
    keeps = stride == 1 and inward == width
    skip = None if keeps else Subsample(width - inward, stride)
    return Residual(branch, skip, after=nn.ReLU(inplace=True))


def preactivated(inward: int, width: int, stride: int) -> Residual:
    """Bottleneck 1×1, 3×3, 1×1 onto 4·width channels, normalised and activated before each.

    A block that changes the shape shares its first activation with a 1×1 projection.
    Source: He, Zhang, Ren, Sun 2016b (identity mappings), figure 4(e).
    """
    outward = 4 * width
    layers = [
        convolution(inward, width, 1),
        *activated(width),
        convolution(width, width, 3, stride),
        *activated(width),
        convolution(width, outward, 1),
    ]
    if stride == 1 and inward == outward:
        return Residual([*activated(inward), *layers])
    skip = convolution(inward, outward, 1, stride)
    return Residual(layers, skip, before=nn.Sequential(*activated(inward)))


def aggregated(inward: int, width: int, stride: int, groups: int, outward: int) -> Residual:
    """Bottleneck with ``groups`` grouped 3×3 paths, ReLU after the sum. Source: Xie et al. 2017."""
    branch = [
        *normalised(inward, width, 1),
        nn.ReLU(inplace=True),
        *normalised(width, width, 3, stride, groups),
        nn.ReLU(inplace=True),
        *normalised(width, outward, 1),
    ]
    keeps = stride == 1 and inward == outward
    skip = None if keeps else nn.Sequential(*normalised(inward, outward, 1, stride))
    return Residual(branch, skip, after=nn.ReLU(inplace=True))
