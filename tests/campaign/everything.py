"""All campaigns, and one table of what became of their cases.

    python tests/campaign/everything.py                 all of it: hours on one thread
    python tests/campaign/everything.py --share 0.05    a random part of it

Kinds of outcome: see ``outcome``. The seed is printed; with ``--seed`` and the share of a run the
same cases come again. Ends with 1 where a case was silent, hung or crashed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import comparison
import damage
import exploits
import kills
import nans
import signatures
from outcome import KINDS, Outcome

# Random problems, kinds of damage, kills, runs with NaN, rounds of exploits: of a whole campaign.
SIZES = {"numbers": 5000, "damage": 150, "kills": 75, "nan": 1500, "exploits": 20}


def calls(share: float, seed: int) -> Iterator[Outcome]:
    """Hostile calls of every public function."""
    every = signatures.sample(None, seed)
    chosen = every if share >= 1.0 else signatures.sample(round(share * len(every)), seed)
    for case in chosen:
        kind, seen = signatures.judge(case)
        yield Outcome(kind, f"{case.function}({case.argument}={case.label})", seen)


def outcomes(campaign: str, share: float, seed: int, folder: Path) -> Iterator[Outcome]:
    """The outcomes of one campaign, of which a share is run."""
    if campaign == "calls":
        yield from calls(share, seed)
        return
    start = 10**6 * (seed % 1000)
    seeds = range(start, start + max(1, round(share * SIZES[campaign])))
    if campaign == "damage":
        yield from damage.every(seeds, folder)
        return
    for k in seeds:
        if campaign == "numbers":
            yield from comparison.judge(k)
        elif campaign == "nan":
            yield from nans.judge(k)
        else:
            yield from (kills if campaign == "kills" else exploits).judge(k, folder)


def run(campaign: str, share: float, seed: int, show: tuple[str, ...] = KINDS[2:]) -> Counter[str]:
    """How many outcomes of each kind a campaign had; those of the kinds shown are printed."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.chdir(folder)
        for found in outcomes(campaign, share, seed, Path(folder)):
            counts[found.kind] += 1
            if found.kind in show:
                print(f"{found.kind}: {campaign}: {found.case}: {found.text[:160]}", flush=True)
        os.chdir("/")
    return counts


def row(name: str, counts: Counter[str]) -> str:
    """A line of the table."""
    cells = [str(sum(counts.values())), *(str(counts[kind]) for kind in KINDS)]
    return f"| {name:8} | " + " | ".join(f"{cell:>7}" for cell in cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="of every campaign's cases")
    parser.add_argument("--seed", type=int, help="default: a fresh one")
    parser.add_argument("--only", nargs="*", choices=("calls", *SIZES), default=("calls", *SIZES))
    options = parser.parse_args()
    fresh = int(np.random.SeedSequence().generate_state(1)[0])
    seed = fresh if options.seed is None else options.seed
    print(f"seed {seed}")
    total: Counter[str] = Counter()
    rows = []
    for campaign in options.only:
        counts = run(campaign, options.share, seed)
        total += counts
        rows.append(row(campaign, counts))
        print(rows[-1], flush=True)
    head = "| campaign |   cases | " + " | ".join(f"{kind:>7}" for kind in KINDS) + " |"
    print("", head, "|---" * (len(KINDS) + 2) + "|", *rows, row("all", total), sep="\n")
    sys.exit(bool(total["silent"] + total["hang"] + total["crash"]))


if __name__ == "__main__":
    main()
