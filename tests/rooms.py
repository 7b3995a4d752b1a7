"""Public names that are there on this machine: image networks come with torch."""

from importlib.util import find_spec
from types import ModuleType


def public(room: ModuleType) -> list[str]:
    """The names that a room exports, without those whose extra is not installed."""
    return [name for name in room.__all__ if name != "images" or find_spec("torch")]
