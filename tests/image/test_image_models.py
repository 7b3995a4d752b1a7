"""Published sizes of the image networks; augmentation is crops and mirror images, nothing else."""

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from mfpde import images  # noqa: E402

# Millions of parameters: He et al. 2016, table 6; He et al. 2016b; Xie et al. 2017, table 7.
PUBLISHED = {
    "resnet20": 0.27,
    "resnet32": 0.46,
    "resnet44": 0.66,
    "resnet56": 0.85,
    "resnet110": 1.7,
    "resnet164": 1.7,
    "resnext29_8x64d": 34.4,
    "resnext29_16x64d": 68.1,
}


@pytest.mark.parametrize(("name", "millions"), PUBLISHED.items())
def test_parameter_counts_are_the_published_ones(name, millions):
    with torch.device("meta"):
        model = images.build(name)
        assert model(torch.empty(2, 3, 32, 32)).shape == (2, 10)
    count = sum(p.numel() for p in model.parameters()) / 1e6
    digits = len(str(millions).partition(".")[2])
    assert abs(count - millions) < 10**-digits


@pytest.mark.parametrize(
    ("name", "per_stage"),
    [
        ("resnet20", (3, 2, 2)),
        ("resnet110", (18, 17, 17)),
        ("resnet164", (17, 17, 17)),
        ("resnext29_8x64d", (2, 2, 2)),
    ],
)
def test_every_block_that_keeps_its_shape_can_move(name, per_stage):
    with torch.device("meta"):
        model = images.build(name, classes=100)
    training = images.MeanFieldTraining(model, model.reorderable)
    assert tuple(len(stage.blocks) for stage in training.stages) == per_stage


def test_layers_with_weights_number_what_the_names_say():
    for depth in (20, 110, 164):
        with torch.device("meta"):
            model = images.build(f"resnet{depth}")
        kinds = (torch.nn.Conv2d, torch.nn.Linear)
        named = [n for n, m in model.named_modules() if isinstance(m, kinds) and "skip" not in n]
        assert len(named) == depth


def test_the_room_next_door_leaves_torch_out():
    code = "import sys, mfpde.resnet; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


def test_names_are_checked():
    with pytest.raises(ValueError, match="did you mean 'resnet110'"):
        images.build("resnet101")


def crops(one, padding):
    """All crops of a padded image and their mirror images."""
    padded = torch.nn.functional.pad(one, (padding,) * 4)
    height, width = one.shape[1:]
    shifts = range(2 * padding + 1)
    plain = [padded[:, i : i + height, j : j + width] for i in shifts for j in shifts]
    return plain + [crop.flip(2) for crop in plain]


def test_augmented_images_are_crops_and_mirror_images():
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn(300, 2, 5, 6, generator=generator)
    out = images.Augmentation(padding=1, flip=True)(pictures, generator)
    assert out.shape == pictures.shape
    assert out.is_contiguous(memory_format=torch.channels_last)
    found = [
        [torch.equal(new, crop) for crop in crops(old, 1)].index(True)
        for old, new in zip(pictures, out, strict=True)
    ]
    assert set(found) == set(range(18))
    still = images.Augmentation(padding=0, flip=False)(pictures, generator)
    assert torch.equal(still, pictures)
