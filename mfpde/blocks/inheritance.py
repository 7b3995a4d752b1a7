"""What a subclass may inherit: nothing fast that was written for another formula.

A fast sum is right only for the methods it was written beside. So a class keeps a fast form of an
ancestor exactly where it changes nothing of that ancestor; where it changes anything (``value``,
a private helper, another sum), every fast form that it does not define itself is again the generic
one of ``Block``, formed from ``value``, ``pull_state`` and ``pull_parameter``.
"""

from __future__ import annotations

from inspect import getattr_static, isfunction
from typing import Any, TypeGuard, TypeVar

_NAMES = ("spec", "from_spec")  # say what a block is called, not what it computes

T = TypeVar("T")


class Honest:
    """The rule above for all subclasses of a class that derives from this one, its *root*."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if Honest in cls.__bases__:
            return
        root = _root(cls)
        for name in [name for name in derived(root) if not _holds(cls, name, root)]:
            setattr(cls, name, getattr_static(root, name))

    def __setattr__(self, name: str, value: Any) -> None:
        if isfunction(_static(type(self), name)):
            raise AttributeError(
                f"{name} belongs to the class of a block, whose sums follow from it: subclass "
                f"{type(self).__name__} to change it"
            )
        super().__setattr__(name, value)


def derived(root: type) -> list[str]:
    """What a root forms from its abstract methods, and subclasses may have in a faster form."""
    return [name for name, value in vars(root).items() if _is_derived(name, value)]


def computes(block: object, kind: type[T]) -> TypeGuard[T]:
    """Whether a block is a ``kind`` that changes nothing of what a ``kind`` computes."""
    return isinstance(block, kind) and _agrees(type(block), kind)


def _static(cls: type, name: str) -> Any:
    """An attribute of a class as it was written, or None."""
    return next((vars(parent)[name] for parent in cls.__mro__ if name in vars(parent)), None)


def _is_derived(name: str, value: Any) -> bool:
    abstract = getattr(value, "__isabstractmethod__", False)
    return isfunction(value) and not abstract and not name.startswith("__")


def _root(cls: type) -> type:
    return next(parent for parent in cls.__mro__ if Honest in parent.__bases__)


def _holds(cls: type, name: str, root: type) -> bool:
    source = next(parent for parent in cls.__mro__ if name in vars(parent))
    return source in (cls, root) or _agrees(cls, source)


def _agrees(cls: type, ancestor: type) -> bool:
    """Whether every method of ``ancestor`` that is not abstract is still that of ``cls``."""
    return cls is ancestor or all(
        getattr_static(cls, name) is before for name, before in _meant(ancestor).items()
    )


def _meant(ancestor: type) -> dict[str, Any]:
    """What makes up the formula of a class: all of its own names, and the root's but the sums."""
    found: dict[str, Any] = {}
    for parent in ancestor.__mro__[: ancestor.__mro__.index(object)]:
        generic = Honest in parent.__bases__ or parent is Honest
        for name, value in vars(parent).items():
            if not name.startswith(("__", "_abc_")) and not (generic and _is_derived(name, value)):
                found.setdefault(name, value)
    return {
        name: value
        for name, value in found.items()
        if name not in _NAMES and not getattr(value, "__isabstractmethod__", False)
    }
