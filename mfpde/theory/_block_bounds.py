"""Growth, Lipschitz and smoothness constants of a block: proved for SHL and Linear, else sampled.

**SHL**, f = u σ(w·x + b), s = sup|σ′|, c = |σ(0)|, g² = |x|² + 1 (|x|² without bias), v = (w, b):
|σ(z)| <= c + s|v|g, and S = sup|σ| where that is finite.

* |f| <= |u|(c + s|v|g) <= ½(c + s)(|θ|² + 1)(|x| + 1), and <= ½S(|θ|² + 1): C₁ is the smaller.
* |∂_x f| <= s|u||w| <= ½s|θ|²; D_θf D_θfᵀ = σ² Id + σ′² g² uuᵀ, so that
  |∂_θ f|² <= (c + s|v|g)² + s²g²|u|² <= (c + sg|θ|)²: C₂(r) = max(½s, c, s g(r)).

**Linear**, f = v⟨u, x⟩: |f| <= ½|θ|²|x|, |∂_x f| <= ½|θ|², |∂_θ f| = |x||θ|.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfpde.blocks import Block
from mfpde.blocks.inheritance import computes
from mfpde.blocks.linear import Linear
from mfpde.blocks.shl import SHL

Array = NDArray[np.float64]
INF, NAN = float("inf"), float("nan")

SCALES = 2.0 ** np.arange(-4, 21, 2)  # of θ and x along rays
EXCESS = 0.1  # an exponent above the allowed one by more shows that a bound fails


@dataclass(frozen=True)
class BlockBounds:
    """C₁, C₂(r), sup|σ″| and what is known of smoothness and universality of one block."""

    growth: float
    lipschitz: Callable[[float], float]
    proved: bool
    smooth: bool | None
    curvature: float
    smooth_reason: str
    universal: bool | None
    universal_reason: str

    def holds(self, value: float) -> bool | None:
        """Whether a bound with this constant holds."""
        if not np.isfinite(value):
            return False
        return True if self.proved else None

    @property
    def reason(self) -> str:
        return "proved" if self.proved else "sampled: a lower bound of the constant"


def block_bounds(block: Block) -> BlockBounds:
    """The constants of a block."""
    if computes(block, SHL):
        return _shl(block)
    if computes(block, Linear):
        return BlockBounds(
            0.5, lambda r: max(0.5, r), True, True, NAN, "a polynomial",
            False, "linear maps only",
        )  # fmt: skip
    return _sampled(block)


def _shl(block: SHL) -> BlockBounds:
    sigma = block.activation
    c, s = float(np.abs(sigma(np.zeros(1)))[0]), sigma.slope
    smooth = bool(np.isfinite(sigma.curvature))
    universal, why = _universal(block, c)
    return BlockBounds(
        growth=0.5 * min(sigma.bound, c + s),
        lipschitz=lambda r: max(0.5 * s, c, s * float(np.sqrt(r * r + block.bias))),
        proved=True,
        smooth=smooth,
        curvature=sigma.curvature,
        smooth_reason="sup|σ″|" if smooth else "σ″ is not a bounded function",
        universal=universal,
        universal_reason=why,
    )


def _universal(block: SHL, c: float) -> tuple[bool | None, str]:
    """Leshno, Lin, Pinkus, Schocken 1993: with a bias, iff σ is not a polynomial."""
    sigma = block.activation
    if block.bias:
        z = np.linspace(-8.0, 8.0, 161)
        fit = np.polynomial.Chebyshev.fit(z, sigma(z), 8)
        polynomial = np.abs(fit(z) - sigma(z)).max() < 1e-9
        return (None, "σ may be a polynomial") if polynomial else (True, "σ is no polynomial")
    if c == 0.0:
        return False, "no bias and σ(0) = 0: every ∫f dρ vanishes at x = 0"
    return None, "no bias"


def _sampled(block: Block) -> BlockBounds:
    """Quotients along rays: where one grows with the scale no constant will do."""
    rng = np.random.default_rng(0)
    x, theta, q = (rng.standard_normal((16, n)) for n in (block.dim, block.size, block.dim))
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    theta /= np.linalg.norm(theta, axis=1, keepdims=True)

    def value(r: float, a: float) -> float:
        return _largest(block.value(r * x, a * theta)) / ((a * a + 1.0) * (r + 1.0))

    def lipschitz(r: float, a: float) -> float:
        state = _largest(block.pull_state(r * x, a * theta, q)) / (a * a + 1.0)
        return max(state, _largest(block.pull_parameter(r * x, a * theta, q)) / (a + 1.0))

    with np.errstate(all="ignore"):
        growth = max(
            _bound(np.array([value(1.0, a) for a in SCALES])),
            _bound(np.array([value(r, 1.0) for r in SCALES])),
        )
    return BlockBounds(
        growth=growth,
        lipschitz=lambda r: _lipschitz(lipschitz, r),
        proved=False,
        smooth=None,
        curvature=NAN,
        smooth_reason="not decidable from samples",
        universal=None,
        universal_reason="not decidable from samples",
    )


def _lipschitz(quotient: Callable[[float, float], float], radius: float) -> float:
    with np.errstate(all="ignore"):
        reach = min(radius, float(SCALES[-1]))
        return _bound(np.array([quotient(reach, a) for a in SCALES]))


def _largest(values: Array) -> float:
    return float(np.linalg.norm(values, axis=2).max())


def _bound(quotients: Array) -> float:
    """Their maximum; inf where they still grow like a power at the largest scales."""
    if not np.all(np.isfinite(quotients)):
        return INF
    last, first = quotients[-1], quotients[-4]
    rise = np.log(last / first) / np.log(SCALES[-1] / SCALES[-4]) if first > 0.0 else 0.0
    return INF if rise > EXCESS else float(quotients.max())
