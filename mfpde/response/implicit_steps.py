"""One extrapolated linearly implicit step of a run, its tangent and its adjoint.

Every Euler step of the table (``flows.schemes.implicit``) moves θ by the δ with

    c δ + (h/N) J(θ)* z + h ∇ϱ(θ) = 0,      z = r(θ) + H(θ) J(θ) δ,      c = 1 + hλ.

With the symmetric A = c + (h/N) J*HJ its derivative along a change of θ and of the weights is

    A dδ = −(h/N) (d(J*)z + J*(dr + dH Jδ + H dJ δ)) − h D²ϱ dθ,

and for a cotangent w, with A μ = w, q = HJμ and T_i = ∂_z⟨(Jμ)_i, H_i(z) (Jδ)_i⟩,

    w − h D²ϱ μ − (h/N) (D²⟨z, F⟩ μ + D²⟨q, F⟩ δ + J*(q + T)),

F the outputs (and in the weights likewise, where D²⟨q, F⟩ δ also sees that of each particle's own
displacement): two products with Hessians of outputs, which the adjoint pass has (``linearised``),
instead of one with that of E. A is inverted through the dual system of size N·k, in full: what is
differentiated is the step without the error of an iteration. dJ δ is a central difference of order
4, of a relative error about 1e−11; tangents alone need it. T and the change of H with the targets
are differences of the same kind, zero for the squared loss.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfpde import losses
from mfpde.passes.second_order import Directions
from mfpde.response.linearised import Linearised
from mfpde.response.steps import At, Pulled

Array = NDArray[np.float64]

# Largest dual system that is solved in full.
MOST_ROWS = 8192
# Of a difference along a direction whose largest entry is 1.
DIFFERENCE = 5e-4


class Implicit:
    """A step of the extrapolation table ``rows``: θ⁺ = Σ_i w_i (θ after n_i Euler steps)."""

    def __init__(self, rows: tuple[int, ...]) -> None:
        self._rows = rows
        self._weights = [
            float(np.prod([n / (n - m) for m in rows if m != n])) for n in rows
        ]  # Aitken–Neville's last entry

    @property
    def gradients(self) -> int:
        """Gradients that a step takes, beside its kernels."""
        return sum(self._rows)

    def advance(self, at: At, theta: Array, h: float) -> Array:
        first, out = _Point(at(theta)), np.zeros_like(theta)
        for n, weight in zip(self._rows, self._weights, strict=True):
            out += weight * self._row(at, first, h / n, n)[-1]
        return out

    def push(
        self, at: At, theta: Array, h: float, change: Array, mass: Array | None
    ) -> tuple[Array, Array]:
        first = _Point(at(theta))
        end, moved = np.zeros_like(theta), np.zeros_like(change)
        for n, weight in zip(self._rows, self._weights, strict=True):
            dtheta = change
            points, last = self._points(at, first, h / n, n)
            for point in points:
                dtheta = dtheta + point.push(h / n, dtheta, mass)
            end, moved = end + weight * last, moved + weight * dtheta
        return end, moved

    def pull(self, at: At, theta: Array, h: float, found: Pulled) -> Pulled:
        first, parts = _Point(at(theta)), []
        for n, weight in zip(self._rows, self._weights, strict=True):
            nothing = (np.zeros_like(each) for each in found[1:])
            part = Pulled(weight * found.initial, *nothing)
            for point in reversed(self._points(at, first, h / n, n)[0]):
                part = point.pull(h / n, part)
            parts.append(part)
        initial, *rest = (sum(each[1:], each[0]) for each in zip(*parts, strict=True))
        return Pulled(initial, *(a + b for a, b in zip(found[1:], rest, strict=True)))

    def _row(self, at: At, first: _Point, h: float, n: int) -> list[Array]:
        """The states after each of n Euler steps."""
        point, states = first, []
        for k in range(n):
            states.append(point.theta + point.delta(h))
            if k < n - 1:
                point = _Point(at(states[-1]))
        return states

    def _points(self, at: At, first: _Point, h: float, n: int) -> tuple[list[_Point], Array]:
        """Those that the Euler steps start from, and the state after the last."""
        states = self._row(at, first, h, n)
        return [first, *(_Point(at(theta)) for theta in states[:-1])], states[-1]


class _Point:
    """The Euler step from one state."""

    def __init__(self, here: Linearised) -> None:
        self.here, self.problem = here, here.problem
        self.theta = here.layers.theta
        self.hessian = _convex(self.problem.loss_hessian(here.outputs))
        self._factor: tuple[float, tuple[Array, Array]] | None = None
        self._kernel: Array | None = None
        rows = here.outputs.size
        if rows > MOST_ROWS:
            raise ValueError(
                f"derivatives through implicit steps solve systems of size N·k in full, up to "
                f"{MOST_ROWS}; this problem has {rows}: use method='rk45'"
            )

    def delta(self, h: float) -> Array:
        """δ (K, M, p)."""
        z = self._z(h)
        found: Array = -(h / self._c(h)) * (self._back(z[None])[0] / self.problem.size + self._bend)
        return found

    def push(self, h: float, change: Array, mass: Array | None) -> Array:
        """dδ (C, K, M, p)."""
        here, size, delta = self.here, self.problem.size, self.delta(h)
        directions, z = Directions(change, mass), self._z(h)
        along = here.push(Directions(delta[None]))[0]
        third = self._third()
        out = []
        for c, moved in enumerate(here.push(directions)):
            one = Directions(change[c : c + 1], None if mass is None else mass[c : c + 1])
            dz = losses.apply(self.hessian, moved + self._crossed(one, delta))
            if third is not None:
                dz = dz + np.einsum("nabc,nb,nc->na", third, along, moved)
            bent = here.bent(z, one, dz[None]).gradient[0]
            right = -(h / size) * bent - h * here.penalty.bend(self.theta, change[c])
            out.append(self._inverse(h, right)[0])
        return np.stack(out)

    def pull(self, h: float, found: Pulled) -> Pulled:
        """Derivatives in what the Euler step starts from."""
        here, problem, part = self.here, self.problem, h / self.problem.size
        delta, z = self.delta(h), self._z(h)
        along, third = here.push(Directions(delta[None]))[0], self._third()
        fixed = Directions(delta[None])
        weights = 1.0 if problem.weights is None else problem.weights  # in which z is linear
        parts = []
        for c, w in enumerate(found.initial):
            mu, q = self._inverse(h, w)
            pushed = here.push(Directions(mu[None]))[0]
            total = q if third is None else q + np.einsum("nabc,na,nb->nc", third, pushed, along)
            one = here.bent(z, Directions(mu[None]), total[None])
            two = here.bent(q, fixed, np.zeros((1, *q.shape)))
            own = np.einsum("kmp,kmp->km", delta, here.pull(q[None])[0][0])
            bend = here.penalty.bend(self.theta, mu)
            targets = problem.target_push(here.outputs, pushed) + self._by_targets(pushed, along)
            parts.append(
                Pulled(
                    w - part * (one.gradient[0] + two.gradient[0]) - h * bend,
                    found.influence[c] - part * (one.potential[0] + two.potential[0] + own),
                    found.start[c] - part * (one.start[0] + two.start[0]),
                    found.targets[c] - part * targets,
                    found.decay[c] - h * here.inner(mu[None], self.theta + delta)[0],
                    found.weights[c] - part * (pushed * z).sum(axis=1) / weights,
                )
            )
        return Pulled(*(np.stack(each) for each in zip(*parts, strict=True)))

    # -- the linear system ------------------------------------------------------------------------

    def _c(self, h: float) -> float:
        return 1.0 + h * self.here.penalty.quadratic

    @property
    def _bend(self) -> Array:
        """∇ϱ."""
        return self.here.penalty.gradient(self.theta)

    def _z(self, h: float) -> Array:
        right = self.problem.loss_gradient(self.here.outputs)
        if self.here.penalty:
            pushed = self.here.push(Directions(self._bend[None]))[0]
            right = right - (h / self._c(h)) * losses.apply(self.hessian, pushed)
        return self._solve(h, right)

    def _inverse(self, h: float, w: Array) -> tuple[Array, Array]:
        """μ = A⁻¹ w and q = HJμ."""
        c = self._c(h)
        pushed = self.here.push(Directions(w[None]))[0]
        q = self._solve(h, losses.apply(self.hessian, pushed) / c)
        return (w - (h / self.problem.size) * self._back(q[None])[0]) / c, q

    def _solve(self, h: float, right: Array) -> Array:
        """(I + γHK)⁻¹ right, (N, k)."""
        from scipy import linalg

        gamma = h / (self.problem.size * self._c(h))
        if self._factor is None or self._factor[0] != gamma:
            self._factor = gamma, linalg.lu_factor(self._system(gamma), check_finite=False)
        found: Array = linalg.lu_solve(self._factor[1], right.ravel(), check_finite=False)
        return found.reshape(right.shape)

    def _system(self, gamma: float) -> Array:
        if self._kernel is None:
            self._kernel = self.here.kernel()
        system = gamma * self._kernel
        n, k = self.here.outputs.shape
        if self.hessian is not None:
            rows = system.reshape(n, k, n * k)
            system = np.einsum("nab,nbr->nar", self.hessian, rows).reshape(n * k, n * k)
        system.flat[:: n * k + 1] += 1.0
        return system

    def _back(self, v: Array) -> Array:
        """J*v (C, K, M, p)."""
        return self.here.pull(v)[0]

    # -- second and third derivatives -------------------------------------------------------------

    def _crossed(self, direction: Directions, delta: Array) -> Array:
        """dJ δ along one direction, (N, k)."""
        here, layers = self.here, self.here.layers
        size = max(float(np.abs(v).max()) for v in direction[:2] if v is not None) or 1.0

        def pushed(e: float) -> Array:
            moved = layers._replace(theta=layers.theta + e * direction.theta[0])
            if direction.mass is not None:
                moved = moved._replace(weights=layers.weights + e * direction.mass[0])
            return here.moved(moved).push(Directions(delta[None]))[0]

        h = DIFFERENCE / size
        near, far = (pushed(e) - pushed(-e) for e in (h, 2 * h))
        return (8.0 * near - far) / (12.0 * h)

    def _third(self) -> Array | None:
        """∂³ℓ/∂z³ (N, k, k, k) with the weights of the data; None where the Hessian is constant."""
        if self.hessian is None:
            return None
        units = DIFFERENCE * np.eye(self.problem.outputs)
        z = self.here.outputs

        def at(change: Array) -> Array:
            found = self.problem.loss_hessian(z + change)
            assert found is not None
            return found

        columns = [8.0 * (at(e) - at(-e)) - (at(2 * e) - at(-2 * e)) for e in units]
        found: Array = np.stack(columns, axis=-1) / (12.0 * DIFFERENCE)
        return found if found.any() else None

    def _by_targets(self, left: Array, right: Array) -> Array:
        """∂_y⟨left_i, H_i right_i⟩, (N, k)."""
        if self.hessian is None:
            return np.zeros_like(left)
        problem, z = self.problem, self.here.outputs
        weights = 1.0 if problem.weights is None else problem.weights[:, None, None]

        def at(change: Array) -> Array:
            hessian = problem.loss.hessian(z, problem.y + change)
            if hessian is None:
                return np.zeros(len(left))
            found: Array = np.einsum("na,nab,nb->n", left, weights * hessian, right)
            return found

        units = DIFFERENCE * np.eye(problem.outputs)
        columns = [8.0 * (at(e) - at(-e)) - (at(2 * e) - at(-2 * e)) for e in units]
        found: Array = np.stack(columns, axis=-1) / (12.0 * DIFFERENCE)
        return found


def _convex(hessian: Array | None) -> Array | None:
    """Raises ValueError where a loss is concave: steps take its convex part, which has kinks."""
    if hessian is not None:
        part = losses.convex_part(hessian)[0]
        if np.abs(part - hessian).max() > 1e-10 * np.abs(hessian).max():
            raise ValueError(
                "derivatives through implicit steps need a loss that is convex along the run; "
                "take method='rk45'"
            )
    return hessian
