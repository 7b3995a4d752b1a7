"""Conservative transport of cell masses on a tensor grid down a potential, one fused pass a stage.

Masses are held as (K, R, W): R *rows* along the first axis, and the *plane* of all other axes. In
the coordinate ξ that counts cells, the flow ∂_s ρ = ∇·(ρ∇V) of masses m per unit of ξ reads

    dm_c/ds = −Σ_axes (F_{c+1/2} − F_{c−1/2}),   F_{c+1/2} = κ (V_c − V_{c+1}) m_{c+1/2},

κ = 1/(distance of the two centres)², on uniform and mapped axes alike. m_{c+1/2} >= 0 is taken from
the side the flow comes from, m + φ(m, b, a): b is the difference of masses behind that cell and a
the one across the face. Whatever φ, Σ V dm/ds = −Σ κ (V_c − V_{c+1})² m_{c+1/2} <= 0.

V is either given in full, (K, R, W), or as V_kj = u_j A_k + B_k + C_j with planes A, B (K, W) and
one number C_j for each row, which is what f = u σ(w·x + b) and a quadratic penalty have: then it is
formed plane by plane in a first-level cache, never in memory.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mfpde.kernels import FASTMATH

UPWIND, VAN_LEER, MINMOD, MC, KOREN, THIRD = range(6)


@njit(cache=True, nogil=True, error_model="numpy")
def advance(code, faces, v, start, m, h, share, out):
    """out = start + share·(m − start + h dm/ds(m)): one stage, in Shu and Osher's form.

    ``faces`` is (strides, κ of rows (R,), κ of the plane's axes (axes, W), behind, ahead): κ is
    that of the upper face of each cell, 0 at walls; ``behind`` and ``ahead`` (axes, W) are 1 where
    the cell before, and the cell after the next, are on the grid. ``v`` is (u, A, B, C, full).
    """
    strides, row_kappa, kappa, behind, ahead = faces
    nodes, rows, plane = m.shape
    pad = 1
    for a in range(strides.size):
        pad = max(pad, strides[a])
    padded = np.zeros(plane + 3 * pad)
    here, above, low, high, flux, change = (
        np.zeros(plane + pad),
        np.zeros(plane + pad),
        np.zeros(plane),
        np.zeros(plane),
        np.zeros(plane + pad),
        np.empty(plane),
    )
    for k in range(nodes):
        _potential(v, k, 0, here)
        low[:] = 0.0
        for j in range(rows):
            if j + 1 < rows:
                _potential(v, k, j + 1, above)
                last = max(j - 1, 0)
                next_ = min(j + 2, rows - 1)
                _row_faces(
                    code, row_kappa[j], here, above, m[k, last], m[k, j], m[k, j + 1], m[k, next_],
                    high,
                )  # fmt: skip
            else:
                high[:] = 0.0
            _begin(low, high, change)
            if strides.size:
                padded[pad : pad + plane] = m[k, j]
            for a in range(strides.size):
                st = strides[a]
                flux[:pad] = 0.0
                _plane_faces(
                    code, kappa[a], behind[a], ahead[a], here, here[st:], padded[pad - st :],
                    padded[pad:], padded[pad + st :], padded[pad + 2 * st :], flux[pad:],
                )  # fmt: skip
                _add(flux[pad - st :], flux[pad:], change)
            _finish(start[k, j], m[k, j], h, share, change, out[k, j])
            low, high = high, low
            here, above = above, here


@njit(cache=True, nogil=True, error_model="numpy")
def _potential(v, k, j, out):
    u, slope, base, row, full = v
    if full.size:
        out[: full.shape[2]] = full[k, j]
    else:
        _affine(u[j], slope[k], base[k], row[j], out)


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _affine(u, slope, base, row, out):
    for c in range(slope.size):
        out[c] = u * slope[c] + (base[c] + row)


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _begin(low, high, change):
    for c in range(change.size):
        change[c] = low[c] - high[c]


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _add(low, high, change):
    for c in range(change.size):
        change[c] += low[c] - high[c]


@njit(cache=True, nogil=True, error_model="numpy")
def _finish(start, m, h, share, change, out):
    for c in range(out.size):
        out[c] = start[c] + share * ((m[c] - start[c]) + h * change[c])


def _limited(half_slope):
    """The loops over faces for one limiter; ``half_slope(near, b, a)`` = φ."""

    @njit(error_model="numpy")
    def rows(kappa, here, above, before, m, after, beyond, out):
        for c in range(out.size):
            w = kappa * (here[c] - above[c])
            a = after[c] - m[c]
            up = w > 0.0
            b = m[c] - before[c] if up else beyond[c] - after[c]
            near = m[c] if up else after[c]
            half = half_slope(near, b, a)
            out[c] = w * (near + (half if up else -half))

    @njit(error_model="numpy")
    def within(kappa, behind, ahead, here, above, before, m, after, beyond, out):
        for c in range(kappa.size):
            w = kappa[c] * (here[c] - above[c])
            a = after[c] - m[c]
            up = w > 0.0
            b = behind[c] * (m[c] - before[c]) if up else ahead[c] * (beyond[c] - after[c])
            near = m[c] if up else after[c]
            half = half_slope(near, b, a)
            out[c] = w * (near + (half if up else -half))

    return rows, within


@njit(inline="always")
def _flat(near, b, a):
    return 0.0


@njit(inline="always")
def _van_leer(near, b, a):
    product = b * a
    return product / (b + a) if product > 0.0 else 0.0


@njit(inline="always")
def _minmod(near, b, a):
    smaller = b if abs(b) < abs(a) else a
    return 0.5 * smaller if a * b > 0.0 else 0.0


@njit(inline="always")
def _mc(near, b, a):
    smaller = b if abs(b) < abs(a) else a
    middle = 0.25 * (a + b)
    half = smaller if abs(smaller) < abs(middle) else middle
    return half if a * b > 0.0 else 0.0


@njit(inline="always")
def _koren(near, b, a):
    smaller = b if abs(b) < abs(a) else a
    third = (b + 2.0 * a) / 6.0
    half = smaller if abs(smaller) < abs(third) else third
    return half if a * b > 0.0 else 0.0


@njit(inline="always")
def _third(near, b, a):
    """The parabola through three cells, cut only where it is negative or above twice the mean."""
    third = (b + 2.0 * a) / 6.0
    return min(max(third, -near), near)


_upwind_rows, _upwind_plane = _limited(_flat)
_van_leer_rows, _van_leer_plane = _limited(_van_leer)
_minmod_rows, _minmod_plane = _limited(_minmod)
_mc_rows, _mc_plane = _limited(_mc)
_koren_rows, _koren_plane = _limited(_koren)
_third_rows, _third_plane = _limited(_third)


@njit(cache=True, nogil=True, error_model="numpy")
def _row_faces(code, kappa, here, above, before, m, after, beyond, out):
    if code == VAN_LEER:
        _van_leer_rows(kappa, here, above, before, m, after, beyond, out)
    elif code == MINMOD:
        _minmod_rows(kappa, here, above, before, m, after, beyond, out)
    elif code == MC:
        _mc_rows(kappa, here, above, before, m, after, beyond, out)
    elif code == KOREN:
        _koren_rows(kappa, here, above, before, m, after, beyond, out)
    elif code == THIRD:
        _third_rows(kappa, here, above, before, m, after, beyond, out)
    else:
        _upwind_rows(kappa, here, above, before, m, after, beyond, out)


@njit(cache=True, nogil=True, error_model="numpy")
def _plane_faces(code, kappa, behind, ahead, here, above, before, m, after, beyond, out):
    if code == VAN_LEER:
        _van_leer_plane(kappa, behind, ahead, here, above, before, m, after, beyond, out)
    elif code == MINMOD:
        _minmod_plane(kappa, behind, ahead, here, above, before, m, after, beyond, out)
    elif code == MC:
        _mc_plane(kappa, behind, ahead, here, above, before, m, after, beyond, out)
    elif code == KOREN:
        _koren_plane(kappa, behind, ahead, here, above, before, m, after, beyond, out)
    elif code == THIRD:
        _third_plane(kappa, behind, ahead, here, above, before, m, after, beyond, out)
    else:
        _upwind_plane(kappa, behind, ahead, here, above, before, m, after, beyond, out)


@njit(cache=True, nogil=True, error_model="numpy")
def survey(faces, v, m):
    """What a step is judged by: dissipation (K,), mass (K,), fastest outflow, smallest mass.

    The dissipation is Σ κ (V_c − V_{c+1})² (m_c + m_{c+1})/2; the outflow of a cell that holds mass
    is Σ κ max(fall of V, 0) over its faces: no limiter puts more than twice its mass on a face.
    """
    strides, row_kappa, kappa, _, _ = faces
    nodes, rows, plane = m.shape
    pad = 1
    for a in range(strides.size):
        pad = max(pad, strides[a])
    dissipation, mass = np.zeros(nodes), np.zeros(nodes)
    fastest, smallest = 0.0, np.inf
    here, above, rate = np.zeros(plane + pad), np.zeros(plane + pad), np.zeros(plane)
    low, high, speed = np.zeros(plane), np.zeros(plane), np.zeros(plane + pad)
    nothing = np.zeros(plane)
    for k in range(nodes):
        _potential(v, k, 0, here)
        low[:] = 0.0
        for j in range(rows):
            last = j + 1 == rows
            if not last:
                _potential(v, k, j + 1, above)
            after = nothing if last else m[k, j + 1]
            dissipation[k] += _row_speeds(row_kappa[j], here, above, m[k, j], after, high)
            _outflow(low, high, rate)
            for a in range(strides.size):
                st = strides[a]
                speed[:pad] = 0.0
                dissipation[k] += _plane_speeds(kappa[a], st, here, m[k, j], speed[pad:])
                _add_outflow(speed[pad - st :], speed[pad:], rate)
            total, least, most = _summary(m[k, j], rate)
            mass[k] += total
            # max and min that keep a NaN
            smallest = least if not least >= smallest else smallest
            fastest = most if not most <= fastest else fastest
            low, high = high, low
            here, above = above, here
    return dissipation, mass, fastest, smallest


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _row_speeds(kappa, here, above, m, after, out):
    total = 0.0
    for c in range(out.size):
        fall = here[c] - above[c]
        out[c] = kappa * fall
        total += kappa * fall * fall * 0.5 * (m[c] + after[c])
    return total


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _plane_speeds(kappa, st, here, m, out):
    total, above, after = 0.0, here[st:], m[st:]
    for c in range(m.size - st):
        fall = here[c] - above[c]
        out[c] = kappa[c] * fall
        total += kappa[c] * fall * fall * 0.5 * (m[c] + after[c])
    out[m.size - st : m.size] = 0.0
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _outflow(low, high, rate):
    for c in range(rate.size):
        rate[c] = max(high[c], 0.0) + max(-low[c], 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
def _add_outflow(low, high, rate):
    for c in range(rate.size):
        rate[c] += max(high[c], 0.0) + max(-low[c], 0.0)


@njit(cache=True, nogil=True, fastmath=FASTMATH, error_model="numpy")
def _summary(m, rate):
    total, least, most = 0.0, np.inf, 0.0
    for c in range(m.size):
        total += m[c]
        least = min(least, m[c])
        most = max(most, rate[c] if m[c] > 0.0 else 0.0)
    return total, least, most
