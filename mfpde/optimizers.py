"""Optimisers in the limit of small steps: averages of the gradient are variables of a particle.

An optimiser of steps h with averages m ← β m + (1 − β) g is, with β = e^{−h/τ} and h → 0, a flow of
(θ, m, …), g = ∇V(t, θ) at the particle, η the problem's rates, that starts at rest. Memories τ are
times of the flow. ``step`` is the optimiser itself, of which ``motion`` is the limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mfpde import checks

Array = NDArray[Any]


@checks.typed
@dataclass(frozen=True)
class HeavyBall:
    """Momentum: τ dm/ds = g − m, dθ/ds = −η∘m; with τ = ``memory``, τθ″ + θ′ = −η∘∇V.

    In the time r = s/√τ that is θ̈ + γθ̇ = −η∘∇V with γ = 1/√τ; τ → 0 is the gradient flow, in the
    same s. E may rise; E + (τ/2)∫∫ |√η∘m|² dρ falls, at the rate ∫∫ |√η∘m|² dρ. Its steps,
    m ← β m + (1 − β) g, θ ← θ − h η∘m, are those of ``torch.optim.SGD(lr=h (1 − β), momentum=β)``.

    Raises ValueError for a memory that is not positive. Source: Polyak 1964.
    """

    memory: float

    kind: ClassVar[str] = "heavy_ball"
    slots: ClassVar[int] = 1

    def __post_init__(self) -> None:
        checks.positive("HeavyBall memory", self.memory)

    def velocity(self, g: Array, averages: Array, s: float) -> Array:
        """−dθ/ds without the rates, for averages (1, …)."""
        found: Array = averages[0]
        return found

    def motion(self, g: Array, averages: Array) -> Array:
        """d(averages)/ds."""
        found: Array = (g[None] - averages) / self.memory
        return found

    def step(self, g: Array, averages: Array, h: float) -> Array:
        """The averages after a step of length h."""
        return _averaged(averages[0], g, h, self.memory)[None]

    def kinetic(self, averages: Array) -> Array:
        """What the flow descends beside E, by coordinate, without the rates."""
        found: Array = 0.5 * self.memory * averages[0] ** 2
        return found

    def effect(self, error: Array, averages: Array, s: float) -> Array:
        """How far an error of the averages moves θ within their memory, without the rates."""
        found: Array = self.memory * error[0]
        return found


@checks.typed
@dataclass(frozen=True)
class AdamFlow:
    """Adam: τ₁ dm/ds = g − m, τ₂ dv/ds = g² − v, dθ/ds = −η∘m̂/(√v̂ + ε), by coordinate.

    m̂ = m/(1 − e^{−s/τ₁}) and v̂ = v/(1 − e^{−s/τ₂}) are the limits of the bias corrections, g and g²
    at s = 0; τ₁ = ``memory``, τ₂ = ``memory_of_squares``, ε = ``epsilon`` beside g = ∇V, the
    gradient times L·M of a network. Speeds are of order 1 whatever the loss: neither E nor another
    energy need fall, and s is not the gradient flow's time. Its steps are those of Adam with β_i =
    e^{−h/τ_i} and the learning rate h.

    Raises ValueError for memories or ε that are not positive. Sources: Kingma, Ba 2015; the flow:
    Barakat, Bianchi 2021.
    """

    memory: float
    memory_of_squares: float
    epsilon: float = 1e-8

    kind: ClassVar[str] = "adam"
    slots: ClassVar[int] = 2

    def __post_init__(self) -> None:
        for name in ("memory", "memory_of_squares", "epsilon"):
            checks.positive(f"AdamFlow {name}", getattr(self, name))

    def velocity(self, g: Array, averages: Array, s: float) -> Array:
        """−dθ/ds without the rates, for averages (2, …)."""
        m, root = self._corrected(g, averages, s)
        found: Array = m / (root + self.epsilon)
        return found

    def motion(self, g: Array, averages: Array) -> Array:
        """d(averages)/ds."""
        m, v = averages
        return np.stack([(g - m) / self.memory, (g**2 - v) / self.memory_of_squares])

    def step(self, g: Array, averages: Array, h: float) -> Array:
        """The averages after a step of length h."""
        m, v = averages
        first = _averaged(m, g, h, self.memory)
        return np.stack([first, _averaged(v, g**2, h, self.memory_of_squares)])

    def kinetic(self, averages: Array) -> None:
        """No energy is known to fall."""
        return

    def effect(self, error: Array, averages: Array, s: float) -> Array:
        """How far an error of the averages moves θ within their memory, without the rates."""
        m, root = self._corrected(np.zeros(()), averages, s)
        size = root + self.epsilon
        by_m = error[0] / self._share(s, self.memory)
        by_v = error[1] / self._share(s, self.memory_of_squares) / (2.0 * root + self.epsilon)
        found: Array = self.memory * (np.abs(by_m) + np.abs(m / size * by_v)) / size
        return found

    def _corrected(self, g: Array, averages: Array, s: float) -> tuple[Array, Array]:
        """m̂ and √v̂."""
        if s == 0.0:
            return g, np.abs(g)
        m = averages[0] / self._share(s, self.memory)
        v = averages[1] / self._share(s, self.memory_of_squares)
        return m, np.sqrt(np.maximum(v, 0.0))

    @staticmethod
    def _share(s: float, memory: float) -> float:
        """1 − e^{−s/τ}: how much of an average is not its start."""
        return float(-np.expm1(-s / memory))


Optimizer = HeavyBall | AdamFlow

OPTIMIZERS: dict[str, type[Optimizer]] = {one.kind: one for one in (HeavyBall, AdamFlow)}


def _averaged(mean: Array, value: Array, h: float, memory: float) -> Array:
    beta = float(np.exp(-h / memory))
    found: Array = beta * mean + (1.0 - beta) * value
    return found


def named(given: Optimizer | Mapping[str, Any]) -> Optimizer:
    """An optimiser, or the one of a case file: its ``kind``, "heavy_ball" or "adam", and fields.

    Raises TypeError or ValueError for what is none.
    """
    if isinstance(given, Optimizer):
        return given
    if not isinstance(given, Mapping):
        raise TypeError(
            "optimizer must be a HeavyBall or an AdamFlow of mfpde.optimizers, or a table with its "
            f"kind; given {type(given).__name__}"
        )
    fields = dict(given)
    kind = OPTIMIZERS[checks.choice("optimizer kind", fields.pop("kind", ""), OPTIMIZERS)]
    try:
        return kind(**fields)
    except TypeError as error:
        raise ValueError(f"optimizer: {error}") from None


def spec_of(optimizer: Optimizer) -> dict[str, Any]:
    """What ``named`` takes."""
    return {"kind": optimizer.kind, **asdict(optimizer)}
