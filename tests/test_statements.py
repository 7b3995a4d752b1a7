"""Every function, test and script that docs/statements.md names exists."""

import re
from pathlib import Path

import pytest

import mfpde

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "statements.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith("| statement")
]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_table_is_there():
    assert len(ROWS) > 30
    assert all(len(row) == 4 for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_every_name_of_a_row_exists(row):
    _, functions, tests, scripts = row
    if any(name.startswith(("images.", "resnet.")) for name in quoted(functions)):
        pytest.importorskip("torch")
    for name in quoted(functions):
        found = mfpde
        for part in name.split("."):
            found = getattr(found, part)
    for name in quoted(tests):
        path, test = name.split("::")
        assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), name
    for name in [*quoted(tests), *re.findall(r"validation/\w+\.py", scripts)]:
        assert (ROOT / name.split("::")[0]).is_file(), name
    # what is not computed says why
    assert quoted(functions) or len(scripts.strip("— :")) > 20
    assert quoted(tests) or scripts not in ("", "—")


def test_every_file_and_link_of_the_page_exists():
    for name in re.findall(r"`((?:validation|tests|mfpde|figures)/[\w/]+\.py)", TEXT):
        assert (ROOT / name).is_file(), name
    for link in re.findall(r"\]\((\w+\.md)\)", TEXT):
        assert (ROOT / "docs" / link).is_file(), link


def test_every_validation_script_of_a_theorem_is_in_the_table_or_the_list():
    """A script that states a theorem stands in the table of statements."""
    for path in sorted((ROOT / "validation").glob("*.py")):
        if "\nTheorem" in path.read_text(encoding="utf-8"):
            assert f"validation/{path.name}" in TEXT, path.name
