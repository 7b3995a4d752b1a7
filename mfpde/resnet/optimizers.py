"""Optimisers of finite networks: plain data, and one pure step each.

A step sees θ (S, L, M, p), the mean-field gradient g = L·M·∂E/∂θ of the same shape, the slots of
state that the optimiser keeps (arrays like θ), the number n = 1, 2, … of the step, its length h
in the flow's time, and per-coordinate rates R (p,): a constant diagonal metric on Θ. Arrays may be
NumPy's or torch's: a step uses operators only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mfpde import checks, optimizers

Slots = tuple[Any, ...]


@dataclass(frozen=True)
class GradientDescent:
    """θ ← θ − h R g: explicit Euler for the flow dθ/ds = −R ∇V."""

    name: ClassVar[str] = "gd"
    slots: ClassVar[int] = 0
    noisy: ClassVar[bool] = False
    batch: ClassVar[int | None] = None

    def step(
        self, theta: Any, g: Any, slots: Slots, noise: Any, n: int, h: float, rates: Any
    ) -> tuple[Any, Slots]:
        return theta - h * (rates * g), slots


@checks.typed
@dataclass(frozen=True)
class SGD:
    """Gradient descent on ``batch`` data a step, every datum once an epoch in shuffled order."""

    batch: int

    name: ClassVar[str] = "sgd"
    slots: ClassVar[int] = 0
    noisy: ClassVar[bool] = False

    def __post_init__(self) -> None:
        checks.count("SGD batch", self.batch)

    def step(
        self, theta: Any, g: Any, slots: Slots, noise: Any, n: int, h: float, rates: Any
    ) -> tuple[Any, Slots]:
        return theta - h * (rates * g), slots


@checks.typed
@dataclass(frozen=True)
class Momentum:
    """v ← β v + (1 − β) g, θ ← θ − h R v, on ``batch`` data a step (None: all).

    The average keeps s the flow's time, up to a delay of h β/(1 − β); the usual heavy ball
    v ← β v + g with rate η is the same with h = η/(1 − β).
    """

    beta: float = 0.9
    batch: int | None = None

    name: ClassVar[str] = "momentum"
    slots: ClassVar[int] = 1
    noisy: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _fraction("Momentum beta", self.beta)
        _check_batch("Momentum", self.batch)

    def step(
        self, theta: Any, g: Any, slots: Slots, noise: Any, n: int, h: float, rates: Any
    ) -> tuple[Any, Slots]:
        v = self.beta * slots[0] + (1.0 - self.beta) * g
        return theta - h * (rates * v), (v,)


@checks.typed
@dataclass(frozen=True)
class Adam:
    """Adam with bias correction: θ ← θ − h R m̂/(√v̂ + ε), m and v averages of g and g².

    It is blind to the scale of g, so that h is its learning rate and s = n h is not the flow's
    time. Source: Kingma, Ba 2015, Algorithm 1.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    batch: int | None = None

    name: ClassVar[str] = "adam"
    slots: ClassVar[int] = 2
    noisy: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _fraction("Adam beta1", self.beta1)
        _fraction("Adam beta2", self.beta2)
        checks.positive("Adam epsilon", self.epsilon)
        _check_batch("Adam", self.batch)

    def step(
        self, theta: Any, g: Any, slots: Slots, noise: Any, n: int, h: float, rates: Any
    ) -> tuple[Any, Slots]:
        m = self.beta1 * slots[0] + (1.0 - self.beta1) * g
        v = self.beta2 * slots[1] + (1.0 - self.beta2) * (g * g)
        size = (v * (1.0 / (1.0 - self.beta2**n))) ** 0.5 + self.epsilon
        return theta - (h / (1.0 - self.beta1**n)) * (rates * (m / size)), (m, v)


@checks.typed
@dataclass(frozen=True)
class Langevin:
    """Noisy descent θ ← θ − h R g + √(2 τ h R) ξ, ξ ~ N(0, 1): dθ = −R ∇V ds + √(2 τ R) dW.

    The particles of the entropic flow; R changes its speed, not its stationary law. τ is
    ``temperature``, or the problem's own where it is None.
    """

    temperature: float | None = None
    batch: int | None = None

    name: ClassVar[str] = "langevin"
    slots: ClassVar[int] = 0
    noisy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.temperature is not None:
            checks.positive("Langevin temperature", self.temperature)
        _check_batch("Langevin", self.batch)

    def step(
        self, theta: Any, g: Any, slots: Slots, noise: Any, n: int, h: float, rates: Any
    ) -> tuple[Any, Slots]:
        size = (2.0 * (self.temperature or 0.0) * h) ** 0.5
        return theta - h * (rates * g) + size * (rates**0.5 * noise), slots


Optimizer = GradientDescent | SGD | Momentum | Adam | Langevin

OPTIMIZERS: dict[str, type[Optimizer]] = {
    kind.name: kind for kind in (GradientDescent, SGD, Momentum, Adam, Langevin)
}


def steps_of(flow: optimizers.Optimizer, h: float) -> Momentum | Adam:
    """The optimiser of steps h whose limit is a flow: β = e^{−h/τ}."""
    if isinstance(flow, optimizers.HeavyBall):
        return Momentum(_beta(h, flow.memory))
    return Adam(_beta(h, flow.memory), _beta(h, flow.memory_of_squares), flow.epsilon)


def _beta(h: float, memory: float) -> float:
    return float(np.exp(-h / memory))


def get_optimizer(given: str | Optimizer, data: int, temperature: float) -> Optimizer:
    """An optimiser from its name or itself, checked against N and completed by the problem's τ.

    Raises ValueError for an unknown name, "sgd" without a batch, a batch larger than ``data``, or
    a temperature that is missing, contradicted, or of no effect.
    """
    if isinstance(given, str):
        kind = OPTIMIZERS[checks.choice("optimizer", given, OPTIMIZERS)]
        if kind is SGD:
            raise ValueError("optimizer='sgd' needs a batch: optimizer=mfpde.resnet.SGD(batch=…)")
        given = kind()  # type: ignore[call-arg]
    if not isinstance(given, Optimizer):
        raise TypeError(f"optimizer must be a name or an optimiser; given {type(given).__name__}")
    if given.batch is not None and given.batch > data:
        raise ValueError(f"optimizer batch must be <= {data}, the data; given {given.batch}")
    if isinstance(given, Langevin):
        return Langevin(_temperature(given.temperature, temperature), given.batch)
    if temperature:
        raise ValueError(
            f"temperature = {temperature:g} of the problem needs noise: optimizer='langevin'"
        )
    return given


def _temperature(own: float | None, problem: float) -> float:
    if own is None and not problem:
        raise ValueError(
            "optimizer='langevin' needs a temperature: mfpde.resnet.Langevin(temperature=…)"
        )
    if own is not None and problem and own != problem:
        raise ValueError(
            f"temperature must be the problem's, {problem:g}, or left out; given {own:g}"
        )
    return own or problem


def _fraction(name: str, value: float) -> None:
    if not 0.0 <= checks.positive(name, value, zero=True) < 1.0:
        raise ValueError(f"{name} must be in [0, 1); given {value!r}")


def _check_batch(name: str, batch: int | None) -> None:
    if batch is not None:
        checks.count(f"{name} batch", batch)
