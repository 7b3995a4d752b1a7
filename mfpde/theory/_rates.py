"""Is the loss decaying exponentially or like a power of s? Local rates decide, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mfpde import checks

Array = NDArray[np.float64]

WINDOWS = 8  # pieces of the tail, each with its own least-squares slope


@runtime_checkable
class Series(Protocol):
    """A run, or anything with training times s (n,) and losses (n,)."""

    @property
    def s(self) -> Array: ...

    @property
    def loss(self) -> Array: ...


@dataclass(frozen=True)
class Rate:
    """``kind`` "exponential" (E ~ e^{−rate·s}) or "power" (E ~ s^{−rate}), rate and its interval.

    The losing law's rate and interval stand in ``other``; ``spread`` (and ``other_spread``) is the
    relative scatter of local rates, the quantity that decides: a true law has the same rate in
    every window.
    """

    kind: str
    rate: float
    interval: tuple[float, float]
    spread: float
    other: tuple[float, tuple[float, float]]
    other_spread: float
    s: tuple[float, float]


@checks.typed
def fit_rate(sol: Series, *, tail: float = 0.5, floor: float = 1e-28) -> Rate:
    """Fit both laws to the last part of a run and keep the one whose local rate is steadier.

    The tail is the last fraction ``tail`` of the *decades of loss* (from the last loss above
    ``floor``), cut into 8 windows of equal decrease; −d log E/ds and −d log E/d log s are fitted in
    each. ``interval`` is the range of the local rates: a curve that follows neither law has a wide
    one, which no standard error of a regression would show.

    Raises ValueError where the tail holds fewer than 16 distinct points or the loss did not fall.
    """
    checks.positive("floor", floor, zero=True)
    s, log_loss = _tail(sol, checks.positive("tail", tail), floor)
    levels = np.linspace(log_loss[0], log_loss[-1], 16 * WINDOWS + 1)
    times = np.interp(-levels, -log_loss, s)  # log E falls: read the curve as s(log E)
    windows = [slice(16 * j, 16 * j + 17) for j in range(WINDOWS)]
    laws = {}
    for kind, clock in (("exponential", times), ("power", np.log(times))):
        slopes = np.array([_slope(clock[window], levels[window]) for window in windows])
        laws[kind] = (_slope(clock, levels), (float(slopes.min()), float(slopes.max())), slopes)
    spreads = {kind: float(np.std(law[2]) / abs(np.mean(law[2]))) for kind, law in laws.items()}
    kind = min(spreads, key=lambda name: spreads[name])
    other = "power" if kind == "exponential" else "exponential"
    return Rate(
        kind=kind,
        rate=laws[kind][0],
        interval=laws[kind][1],
        spread=spreads[kind],
        other=laws[other][:2],
        other_spread=spreads[other],
        s=(float(s[0]), float(s[-1])),
    )


def _slope(clock: Array, log_loss: Array) -> float:
    centred = clock - clock.mean()
    return -float(centred @ (log_loss - log_loss.mean()) / (centred @ centred))


def _tail(sol: Series, tail: float, floor: float) -> tuple[Array, Array]:
    """Times and log-losses of the tail, strictly falling."""
    s, loss = np.asarray(sol.s, dtype=np.float64), np.asarray(sol.loss, dtype=np.float64)
    keep = (s > 0.0) & (loss > floor)
    s, log_loss = s[keep], np.log(loss[keep])
    falling = log_loss < np.minimum.accumulate(np.append(np.inf, log_loss[:-1]))
    s, log_loss = s[falling], log_loss[falling]
    if s.size:
        start = log_loss[-1] + min(tail, 1.0) * (log_loss[0] - log_loss[-1])
        s, log_loss = s[log_loss <= start], log_loss[log_loss <= start]
    if s.size < 16:
        raise ValueError(
            f"fit_rate needs at least 16 points of falling loss above floor = {floor:g} in the "
            f"tail; found {s.size}: record more steps (a smaller rtol), run longer or use a larger "
            "tail"
        )
    return s, log_loss
