"""Normalisation and augmentation of whole batches, on the device that holds the images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """Random crops of images padded by ``padding`` pixels, and mirror images where ``flip``.

    The padding is the mean colour. Source: He, Zhang, Ren, Sun 2016, section 4.2 (4 pixels, flip).
    """

    padding: int = 4
    flip: bool = True

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """(B, C, H, W) to (B, C, H, W), channels last in memory; one gather for the whole batch."""
        count, _, height, width = images.shape
        rows, columns = self._window(count, height, width, images.device, generator)
        padded = functional.pad(images, (self.padding,) * 4)
        batch = torch.arange(count, device=images.device)[:, None, None]
        # The slice between the indices puts the channels last.
        chosen = padded[batch, :, rows[:, :, None], columns[:, None, :]]
        return chosen.permute(0, 3, 1, 2)

    def _window(
        self, count: int, height: int, width: int, device: torch.device, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Rows (B, H) and columns (B, W) of each image's crop in the padded image."""
        shift = torch.randint(
            2 * self.padding + 1, (2, count, 1), device=device, generator=generator
        )
        rows = shift[0] + torch.arange(height, device=device)
        columns = shift[1] + torch.arange(width, device=device)
        if self.flip:
            mirrored = torch.rand((count, 1), device=device, generator=generator) < 0.5
            columns = torch.where(mirrored, columns.flip(1), columns)
        return rows, columns


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """uint8 (B, C, H, W) to float32, zero mean and unit deviation per channel of the data set."""
    return (images.float() - mean[:, None, None]) / std[:, None, None]
