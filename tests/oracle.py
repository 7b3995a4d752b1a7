"""Passes of an SHL network written for the reader: NumPy and SciPy, no kernel of the package."""

import numpy as np
from scipy import special

SQRT_2PI = np.sqrt(2 * np.pi)
# name → (σ, σ′)
ACTIVATIONS = {
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "sigmoid": (special.expit, lambda z: special.expit(z) * special.expit(-z)),
    "softplus": (lambda z: np.logaddexp(0, z), special.expit),
    "gelu": (
        lambda z: z * special.ndtr(z),
        lambda z: special.ndtr(z) + z * np.exp(-z * z / 2) / SQRT_2PI,
    ),
    "silu": (
        lambda z: z * special.expit(z),
        lambda z: special.expit(z) * (1 + z * special.expit(-z)),
    ),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
    "sin": (np.sin, np.cos),
}


class Network:
    """F(x) = Σ_j a_j u_j σ(w_j·x + b_j) at each node, stepped by an explicit tableau."""

    def __init__(self, depth, theta, weights, activation):
        self.depth, self.theta, self.weights = depth, theta.astype(float), weights.astype(float)
        self.sigma, self.slope = ACTIVATIONS[activation]

    def parts(self, k, x):
        d = x.shape[1]
        u, w, rest = np.split(self.theta[k], [d, 2 * d], axis=1)
        z = x @ w.T + (rest[:, 0] if rest.size else 0)
        return u, w, self.sigma(z), self.slope(z)

    def field(self, k, x):
        u, _, s, _ = self.parts(k, x)
        return s @ (self.weights[k][:, None] * u)

    def forward(self, x):
        """Stage states (L, S, N, d) and path (L + 1, N, d)."""
        h, tableau = self.depth.step, self.depth.tableau
        stages, path = [], [x]
        for nodes in self.depth.stage_nodes:
            states, slopes = [], []
            for i, k in enumerate(nodes):
                z = path[-1] + h * sum(a * f for a, f in zip(tableau.a[i], slopes, strict=False))
                states.append(z)
                slopes.append(self.field(k, z))
            stages.append(states)
            path.append(path[-1] + h * sum(b * f for b, f in zip(tableau.b, slopes, strict=True)))
        return np.array(stages), np.array(path)

    def backward(self, k, x, q):
        """D_xFᵀ q and Σ_i D_θ f(x_i, θ_j)ᵀ q_i."""
        u, w, s, slope = self.parts(k, x)
        t = (q @ u.T) * slope
        change = np.concatenate([s.T @ q, t.T @ x, t.sum(axis=0)[:, None]], axis=1)
        return t @ (self.weights[k][:, None] * w), change[:, : self.theta.shape[2]]

    def adjoint(self, stages, terminal):
        """Cotangents (L, S, N, d), adjoint path (L + 1, N, d) and gradient (K, M, p)."""
        h, tableau = self.depth.step, self.depth.tableau
        p, gradient = terminal, np.zeros_like(self.theta)
        cotangents, path = np.zeros_like(stages), [terminal]
        for step in reversed(range(self.depth.steps)):
            pulls = {}
            for i in reversed(range(tableau.stages)):
                q = h * (tableau.b[i] * p + sum(tableau.a[j, i] * v for j, v in pulls.items()))
                k = self.depth.stage_nodes[step, i]
                pulls[i], change = self.backward(k, stages[step, i], q)
                gradient[k] += change
                cotangents[step, i] = q
            p = p + sum(pulls.values())
            path.append(p)
        return cotangents, np.array(path[::-1]), gradient

    def tangent(self, stages, change):
        """The change of X(1) (N, d) along a change of θ (K, M, p)."""
        h, tableau, dx, d = self.depth.step, self.depth.tableau, 0.0, stages.shape[3]
        for step, nodes in enumerate(self.depth.stage_nodes):
            slopes = []
            for i, k in enumerate(nodes):
                dz = dx + h * sum(a * f for a, f in zip(tableau.a[i], slopes, strict=False))
                z = stages[step, i]
                u, w, s, slope = self.parts(k, z)
                du, dw, db = np.split(change[k], [d, 2 * d], axis=1)
                inner = z @ dw.T + (db[:, 0] if db.size else 0) + (dz + np.zeros_like(z)) @ w.T
                a = self.weights[k][:, None]
                slopes.append((slope * inner) @ (a * u) + s @ (a * du))
            dx = dx + h * sum(b * f for b, f in zip(tableau.b, slopes, strict=True))
        return dx

    def tangent_kernel(self, x, readout):
        """Σ_k (1/ω_k) Σ_j a_kj ⟨J_kj, J_kj⟩ from one backward pass per datum and output."""
        stages, _ = self.forward(x)
        rows = []
        for i in range(len(x)):
            for b in readout:
                terminal = np.zeros_like(x)
                terminal[i] = b
                rows.append(self.adjoint(stages, terminal)[2])
        scale = np.sqrt(self.weights / self.depth.weights[:, None])[:, :, None]
        jacobian = np.array([(scale * row).ravel() for row in rows])
        return jacobian @ jacobian.T
