"""Training by reordering blocks against plain training, on images, in paired runs.

Algorithm (Lu, Ma, Lu, Lu, Ying 2020). Residual blocks have places t in [0, 1] that learn beside the
weights; blocks are passed in the order of t, each scaled by its gap. Published: test accuracy
better by .25 to .55 points in every architecture on CIFAR-10 and -100, at no extra cost.

Here. One seed gives all variants one initial function, one sequence of batches, one augmentation:
"plain" has t frozen (plain training bit for bit), "gap" is the published algorithm, "share" has the
gaps divided by their sum, which tells order from scale, "window" equal masses and a window in
depth, so that exchanges are continuous. Accuracy is that of the last epoch. Without --data:
scikit-learn's digits and a ResNet of 12 small blocks; with it: CIFAR-10 or -100, as pickles or
.npz. Finished runs stay in --out: later calls add to one table, interrupted runs continue from
their last epoch. On a card, several runs at a time:

    python validation/reordering_cifar.py --data cifar10.npz --architecture resnet20 --seeds 3
        --epochs 60 --schedule cosine --precision bfloat16 --channels-last --jobs 6

Prediction: a gain whose 95 % interval (paired t) lies above 0; where it covers 0 the claim is not
resolved. Digits take about 8 minutes of one core (--jobs 2 uses two), --quick half a minute.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields, replace
from typing import Any

import numpy as np
import study
from study import Claim

try:
    import paired_runs

    from mfpde import images
except ImportError:
    sys.exit("this script needs torch: pip install 'mfpde[torch]'")

DIGITS = {"architecture": "small", "epochs": 20, "batch_size": 32, "seeds": 16, "place_rate": 1.0}
DIGITS |= {"padding": 1, "flip": False, "schedule": "cosine", "weight_decay": 5e-4}
CIFAR = {"architecture": "resnet20", "epochs": 160, "seeds": 3, "place_rate": 0.1}
QUICK = {"architecture": "tiny", "epochs": 2, "seeds": 2, "place_rate": 10.0}
QUICK |= {"train": 256, "test": 200}


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """What was asked for, filled in from the data's own defaults."""
    options = study.parser(__doc__, "reordering_cifar")
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
    base = images.Recipe(**{k: v for k, v in vars(chosen).items() if k in names and v is not None})
    ways = {"plain": replace(base, place_rate=0.0, reorder="step"), "gap": base}
    ways |= {name: replace(base, rule=name, reorder="step") for name in ("share", "window")}
    return {name: way for name, way in ways.items() if name in ("plain", *chosen.variants)}


def fair(losses: list[float], records: list[dict[str, Any]]) -> list[Claim]:
    """What must be true of the comparison, whatever it finds."""
    apart = max(losses) - min(losses)
    depths = [np.hstack([np.hstack(t) for t in one["history"]["t"]]) for one in records]
    low, high = min(t.min() for t in depths), max(t.max() for t in depths)
    plain = [one["history"]["t"] for one in records if one["variant"] == "plain"]
    same = f"losses {losses[0]:.6f}, differing by {apart:.1e}"
    still = all(t == run[0] for run in plain for t in run)
    inside = bool(0 <= low <= high <= 1)
    return [
        Claim("All variants start from one function.", same, apart <= 1e-6 * losses[0]),
        Claim("Places stay in [0, 1].", f"{low:.3f} to {high:.3f}", inside),
        Claim("Plain runs move no place.", f"{len(plain)} runs", still),
    ]


def main(argv: list[str] | None = None) -> int:
    chosen = arguments(argv)
    ways = recipes(chosen)
    data = images.load_images(chosen.data, unpacker=chosen.unpacker)
    data = data.first(chosen.train, chosen.test)
    study.say(f"{data.name}: {len(data.x_train)} training, {len(data.x_test)} test images")
    study.say(f"{chosen.architecture}, {ways['plain']}, moving places at {chosen.place_rate:g}")
    records = paired_runs.train_all(chosen, data, ways)
    rows = paired_runs.summarise(records)
    paired_runs.write(chosen.out, records, rows)
    paired_runs.show(rows)
    how = {"device": chosen.device, "rounds": 3 if chosen.quick else 9}
    costs = paired_runs.cost_ratios(chosen.architecture, data, ways, **how).items()
    study.report(chosen.out / f"cost.{chosen.architecture}.csv", ("variant", "ratio"), costs)
    how = {"seed": chosen.first_seed, "device": chosen.device}
    trainers = [images.Trainer(chosen.architecture, data, way, **how) for way in ways.values()]
    losses = [paired_runs.first_loss(trainer) for trainer in trainers]
    return study.verdict([*paired_runs.gain_claims(rows), *fair(losses, records)], chosen.out)


if __name__ == "__main__":
    sys.exit(main())
