"""Training by reordering blocks against plain training, on images, in paired runs.

Algorithm (Lu, Ma, Lu, Lu, Ying 2020). Residual blocks have places t in [0, 1] that learn beside the
weights; blocks are passed in the order of t, each scaled by its gap. Published: test accuracy
better by .25 to .55 points in every architecture on CIFAR-10 and -100, at no extra cost.

Here. The same seed gives all variants one initial function, one sequence of batches and one
augmentation: "plain" has t frozen (plain training bit for bit), "gap" is the published algorithm,
"window" has equal masses and a window in depth, so that exchanges are continuous. Accuracy is that
of the last epoch. Without --data: scikit-learn's digits and a ResNet of 12 small blocks; with it:
CIFAR-10 or -100, as pickles or .npz. Finished runs stay in --out, so that later calls add seeds,
architectures and data sets to one table; interrupted runs continue from their last epoch. On a
card, several runs at a time:

    python validation/reordering_cifar.py --data cifar10.npz --architecture resnet20 --seeds 3
        --epochs 60 --schedule cosine --precision bfloat16 --channels-last --jobs 6

Digits take about 6 minutes of one core (--jobs 2 uses two), --quick half a minute.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from reporting import Claim, parser, say, table, verdict, write_csv

try:
    from mfpde import images
except ImportError:
    sys.exit("this script needs torch: pip install 'mfpde[torch]'")

PUBLISHED = "+.25 to +.55"
NETWORKS = [name for name in images.MODELS if name.startswith("resne")]
DIGITS = {"architecture": "small", "epochs": 20, "batch_size": 32, "seeds": 16, "place_rate": 1.0}
DIGITS |= {"padding": 1, "flip": False, "schedule": "cosine", "weight_decay": 5e-4}
CIFAR = {"architecture": "resnet20", "epochs": 160, "seeds": 3, "place_rate": 0.1}
QUICK = {"architecture": "tiny", "epochs": 2, "seeds": 2, "place_rate": 10.0}
QUICK |= {"train": 256, "test": 200}


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """What was asked for, filled in from the data's own defaults."""
    options = parser(__doc__, "reordering_cifar")
    options.add_argument("--data", default="digits", help="CIFAR's folder, tar or .npz")
    options.add_argument("--unpacker", help="the Python file that reads a packed .npz")
    options.add_argument("--architecture", choices=list(images.MODELS))
    options.add_argument("--variants", nargs="*", choices=images.RULES, default=list(images.RULES))
    for name in ("epochs", "batch-size", "seeds", "train", "test", "padding"):
        options.add_argument(f"--{name}", type=int)
    for name in ("rate", "momentum", "weight-decay", "warmup", "place-rate"):
        options.add_argument(f"--{name}", type=float)
    for name in ("schedule", "precision", "reorder", "compiled"):
        options.add_argument(f"--{name}")
    options.add_argument("--channels-last", action="store_true", default=None)
    options.add_argument("--device", default="auto")
    options.add_argument("--jobs", type=int, default=1, help="runs at a time")
    options.add_argument("--threads", type=int, default=1, help="of torch per run, 0: its default")
    options.add_argument("--first-seed", type=int, default=0)
    options.add_argument("--evaluate-every", type=int, default=1)
    chosen = options.parse_args(argv)
    defaults = {**(DIGITS if chosen.data == "digits" else CIFAR), **(QUICK if chosen.quick else {})}
    for name, value in defaults.items():
        if getattr(chosen, name, None) is None:
            setattr(chosen, name, value)
    return chosen


def recipes(chosen: argparse.Namespace) -> dict[str, images.Recipe]:
    """One recipe a variant: they differ in t alone."""
    names = {one.name for one in fields(images.Recipe)}
    given = {k: v for k, v in vars(chosen).items() if k in names and v is not None}
    base = images.Recipe(**given)
    ways = {
        "plain": replace(base, place_rate=0.0, reorder="step"),
        "gap": base,
        "window": replace(base, rule="window", reorder="step"),
    }
    return {name: way for name, way in ways.items() if name in ("plain", *chosen.variants)}


def train_all(
    chosen: argparse.Namespace, data: images.ImageData, ways: dict[str, images.Recipe]
) -> list[dict[str, Any]]:
    """Every run that is not yet in --out; all records there."""
    folder = chosen.out / "runs"
    how = {name: getattr(chosen, name) for name in ("device", "evaluate_every", "threads")}
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "images.npz"
        data.save(source)
        runs = [
            images.Run(str(source), data.name, chosen.architecture, name, seed, way, folder, **how)
            for seed, (name, way) in product(seeds, ways.items())
        ]
        for one in images.execute_all(runs, chosen.jobs):
            share, moved = one["history"]["accuracy"][-1], sum(one["history"]["exchanges"])
            say(f"seed {one['seed']} {one['variant']}: {100 * share:.2f} %, {moved} exchanges")
    return images.read_records(folder)


def write(out: Path, records: list[dict[str, Any]], rows: list[images.Row]) -> None:
    """The tables that the figure draws from."""
    epochs, places = [], []
    for one in records:
        known, past = one["identity"], one["history"]
        run = (known["data"], known["architecture"], known["epochs"], one["variant"], one["seed"])
        series = zip(past["loss"], past["accuracy"], past["exchanges"], strict=True)
        epochs += [(*run, epoch, *values) for epoch, values in enumerate(series, 1)]
        places += [
            (*run, epoch, stage, block, t)
            for epoch, stages in enumerate(past["t"])
            for stage, blocks in enumerate(stages)
            for block, t in enumerate(blocks)
        ]
    run = ("data", "architecture", "epochs", "variant")
    write_csv(out / "epochs.csv", (*run, "seed", "epoch", "loss", "accuracy", "exchanges"), epochs)
    write_csv(out / "places.csv", (*run, "seed", "epoch", "stage", "block", "t"), places)
    means = ("plain", "accuracy", "pairs", "gain", "t_low", "t_high", "boot_low", "boot_high")
    values = [
        (
            *(one.data, one.architecture, one.epochs, one.variant, one.plain, one.accuracy),
            *(one.gain.pairs, one.gain.mean, *one.gain.interval, *one.gain.bootstrap),
            one.exchanges,
        )
        for one in rows
    ]
    write_csv(out / "summary.csv", (*run, *means, "exchanges"), values)


def report(rows: list[images.Row]) -> None:
    """Published gains beside measured ones, and which rows are missing."""
    header = ("data", "network", "epochs", "variant", "pairs", "plain %", "variant %", "gain")
    more = ("95 % (t)", "95 % (bootstrap)", "published", "exchanges/epoch", "found")
    lines = []
    for one in rows:
        both = (one.gain.interval, one.gain.bootstrap)
        spans = (f"[{low:+.2f}, {high:+.2f}]" for low, high in both)
        means = (f"{one.plain:.2f}", f"{one.accuracy:.2f}", f"{one.gain.mean:+.2f}")
        run = (one.data, one.architecture, one.epochs, one.variant, one.gain.pairs)
        lines.append((*run, *means, *spans, PUBLISHED, one.exchanges, one.gain.found))
    print()
    table((*header, *more), lines)
    measured = {(one.data, one.architecture) for one in rows}
    for data in ("cifar10", "cifar100"):
        missing = [name for name in NETWORKS if (data, name) not in measured]
        if missing:
            print(f"missing, whole {data}: {', '.join(missing)}")


def claims(
    chosen: argparse.Namespace,
    data: images.ImageData,
    ways: dict[str, images.Recipe],
    records: list[dict[str, Any]],
) -> list[Claim]:
    """What must be true of the comparison, whatever it finds."""
    how = {"seed": chosen.first_seed, "device": chosen.device}
    losses = [
        images.first_loss(images.Trainer(chosen.architecture, data, way, **how))
        for way in ways.values()
    ]
    spread = max(losses) - min(losses)
    depths = [np.hstack([np.hstack(t) for t in one["history"]["t"]]) for one in records]
    low, high = min(t.min() for t in depths), max(t.max() for t in depths)
    plain = [one["history"] for one in records if one["variant"] == "plain"]
    return [
        Claim(
            "All variants start from one function and one batch.",
            f"losses {losses[0]:.6f}, differing by {spread:.1e}",
            spread <= 1e-6 * losses[0],
        ),
        Claim("Places stay in [0, 1].", f"{low:.3f} to {high:.3f}", bool(0 <= low <= high <= 1)),
        Claim(
            "Plain runs move no place.",
            f"{len(plain)} runs",
            all(t == one["t"][0] for one in plain for t in one["t"]),
        ),
    ]


def main(argv: list[str] | None = None) -> int:
    chosen = arguments(argv)
    ways = recipes(chosen)
    data = images.load_images(chosen.data, unpacker=chosen.unpacker)
    data = data.first(chosen.train, chosen.test)
    say(f"{data.name}: {len(data.x_train)} training, {len(data.x_test)} test images")
    say(f"{chosen.architecture}, {ways['plain']}, moving places at {chosen.place_rate:g}")
    records = train_all(chosen, data, ways)
    rows = images.summarise(records)
    write(chosen.out, records, rows)
    report(rows)
    rounds = 3 if chosen.quick else 9
    costs = images.cost_ratios(chosen.architecture, data, ways, device=chosen.device, rounds=rounds)
    shown = ", ".join(f"{name} {ratio:.3f}" for name, ratio in costs.items())
    print(f"\ntraining time over that of the bare network, {chosen.architecture}: {shown}")
    write_csv(chosen.out / f"cost.{chosen.architecture}.csv", ("variant", "ratio"), costs.items())
    return verdict(claims(chosen, data, ways, records))


if __name__ == "__main__":
    sys.exit(main())
