"""The tables of README.md, from ``benchmarks/measured``: numbers live in CSVs, words in the page.

    python benchmarks/published.py               write every table anew from its CSV
    python benchmarks/published.py --take NAME   first take what out/benchmarks/NAME.csv says now

A line ``<!-- measured/NAME.csv -->`` stands before each table; ``tests/test_published.py`` holds
the page against the files.
"""

from __future__ import annotations

import argparse
import csv
import re
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE / "README.md"
MARKED = re.compile(r"(<!-- (measured/\w+\.csv) -->\n\n)((?:\|.*\n)*)")


def page(text: str) -> str:
    """The text, each marked table as its CSV says."""
    return MARKED.sub(lambda found: found[1] + table(HERE / found[2]), text)


def table(path: Path) -> str:
    """A CSV as a table, its first row the header."""
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    lines = [header, ["---"] * len(header), *rows]
    return "".join(_line(cells) for cells in lines)


def _line(cells: list[str]) -> str:
    text = "|".join("---" if cell == "---" else f" {cell} " if cell else " " for cell in cells)
    return f"|{text}|\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--take", nargs="+", default=[], metavar="NAME", help="tables to renew")
    for name in parser.parse_args().take:
        shutil.copyfile(f"out/benchmarks/{name}.csv", HERE / "measured" / f"{name}.csv")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
