"""What all validation scripts share: arguments, tables, CSV files and verdicts."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def parser(doc: str, name: str) -> argparse.ArgumentParser:
    """--quick and --out, with the script's docstring as its help."""
    out = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    out.add_argument("--quick", action="store_true", help="a small version, under a minute")
    out.add_argument("--out", type=Path, default=ROOT / "out" / name, help="folder for the data")
    return out


@dataclass(frozen=True)
class Claim:
    """One statement of a theorem, what was measured, and whether it holds."""

    text: str
    measured: str
    holds: bool


def verdict(claims: Iterable[Claim]) -> int:
    """Print the claims; the exit status is 0 when all hold, else 1."""
    failed = 0
    print()
    for claim in claims:
        print(f"{'holds ' if claim.holds else 'FAILS '} {claim.text}\n       {claim.measured}")
        failed += not claim.holds
    print(f"\n{'All claims hold.' if not failed else f'{failed} claim(s) do not hold.'}")
    return int(failed > 0)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under a header, columns aligned."""
    lines = [list(header), *([_show(value) for value in row] for row in rows)]
    widths = [max(len(line[c]) for line in lines) for c in range(len(header))]
    for line in lines:
        print("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)))


def _show(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows at full precision."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(
            [repr(float(v)) if isinstance(v, float) else v for v in row] for row in rows
        )


def say(text: str) -> None:
    """A line of progress, out at once even through a pipe."""
    print(text, flush=True)
    sys.stdout.flush()
