"""What became of one hostile case."""

from __future__ import annotations

from typing import NamedTuple

# Right numbers; an error that says what is wrong; one that does not; wrong numbers without a word;
# no end; the death of the process.
KINDS = ("right", "clear", "unclear", "silent", "hang", "crash")


class Outcome(NamedTuple):
    """The kind of outcome of a case, and what was seen."""

    kind: str
    case: str
    text: str = ""
