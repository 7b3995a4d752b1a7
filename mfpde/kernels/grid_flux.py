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

from types import FunctionType

import numpy as np
from numba import njit

from mfpde.kernels import FASTMATH
from mfpde.kernels.native import LEAN

# Contraction only: sums keep their order, so that no mass turns negative by rounding.
CONTRACT = {"contract", "nsz"}

UPWIND, VAN_LEER, MINMOD, MC, KOREN, THIRD = range(6)


ROWS = 7  # of scratch, each as long as a block of rows of the grid and one row more


@njit(**LEAN)
def advance(t, shares, code, faces, v, start, m, h, share, work, out):
    """Share t of out = start + share·(m − start + h dm/ds(m)): a stage in Shu and Osher's form.

    ``faces`` is (strides (axes,), κ of rows (R,), and κ, ``behind``, ``ahead`` of the plane's axes
    (axes − 1, rows at a time · W)): κ is that of the upper face of each cell, 0 at walls;
    ``behind`` and ``ahead`` are 1 where the cell before, and the one after the next, are on the
    grid. ``v`` is (u, A, B, C, full), ``work`` scratch: (shares, rows at a time · W + 3 W) and
    (shares, ROWS, rows at a time · W + W). Blocks of rows are dealt in order; a share that begins
    inside a node begins with the faces between its first block and the one before.
    """
    strides, row_kappa, kappa, behind, ahead = faces
    nodes, rows, plane = m.shape
    block = kappa.shape[1]
    some = block // plane
    padded, scratch = work[0][t], work[1][t]
    scratch[:] = 0
    here, upper, flux, change = scratch[0], scratch[1], scratch[2], scratch[3]
    across, first, last = scratch[4], scratch[5], scratch[6]
    each = (rows + some - 1) // some
    begin, end = t * nodes * each // shares, (t + 1) * nodes * each // shares
    for at in range(begin - (1 if begin % each else 0), end):
        k, j = at // each, at % each * some
        if j == 0:
            _fill(0.0, upper)
        count = min(some, rows - j)
        size = count * plane
        low, high = (j - 1) * plane, (j + count + 2) * plane
        if low >= 0 and high <= rows * plane:
            masses = m[k].reshape(-1)[low:high]
        else:
            masses = padded[:]
            _beside_walls(m[k].reshape(-1), low, high, masses)
        _potentials(v, rows, plane, k, j, count, here)
        # the faces between this block and the one before
        _copy(upper[block : block + plane], upper[:plane])
        if some == 1:
            one = row_kappa[j], 1.0 if j > 0 else 0.0, 1.0 if j + 2 < rows else 0.0
            _row_faces(code, plane, one[0], one[1], one[2], here, masses, upper)
        else:
            _row_weights(row_kappa, j, j <= some or at <= begin, count, plane, across, first, last)
            _faces(code, plane, plane, across[:size], first, last, here, masses, upper)
        if at < begin:
            continue
        _differences(upper, plane, plane, change[:size])
        for a in range(1, strides.size):
            st = strides[a]
            rest = kappa[a - 1, :size], behind[a - 1], ahead[a - 1]
            _faces(code, plane, st, rest[0], rest[1], rest[2], here, masses, flux)
            if a + 1 < strides.size:
                _add_differences(flux, plane, st, change[:size])
        to = out[k].reshape(-1)[j * plane : j * plane + size]
        before = start[k].reshape(-1)[j * plane : j * plane + size]
        _finish(before, masses[plane:], h, share, change, flux, plane, strides[-1], to)


@njit(**LEAN)
def _beside_walls(m, low, high, out):
    """The masses low .. high of a node, 0 beyond it: those of rows j − 1 .. j + count + 1."""
    first, last = max(low, 0), min(high, m.size)
    _fill(0.0, out)
    _copy(m[first:last], out[first - low : last - low])


@njit(**LEAN)
def _potentials(v, rows, plane, k, j, count, out):
    """Rows j .. j + count of V."""
    for i in range(min(count + 1, rows - j)):
        _potential(v, k, j + i, out[i * plane : (i + 1) * plane])


@njit(**LEAN)
def _row_weights(row_kappa, j, fresh, count, plane, across, first, last):
    """κ, behind and ahead of the rows' own axis, over a block.

    The last two differ from one beside walls only: elsewhere they are written where they are not
    yet, or no longer, ``fresh`` says.
    """
    rows = row_kappa.size
    fresh |= j + count + 1 >= rows
    for i in range(count):
        part = slice(i * plane, (i + 1) * plane)
        _fill(row_kappa[j + i], across[part])
        if fresh:
            _fill(1.0 if j + i > 0 else 0.0, first[part])
            _fill(1.0 if j + i + 2 < rows else 0.0, last[part])


@njit(**LEAN)
def _copy(values, out):
    # several times faster than out[:] = values, which is not compiled to vector moves
    for c in range(out.size):
        out[c] = values[c]


@njit(**LEAN)
def _fill(value, out):
    for c in range(out.size):
        out[c] = value


@njit(**LEAN)
def _potential(v, k, j, out):
    u, slope, base, row, full = v
    if full.size:
        _copy(full[k, j], out)
    else:
        _affine(u[j], slope[k], base[k], row[j], out)


@njit(fastmath=FASTMATH, **LEAN)
def _affine(u, slope, base, row, out):
    for c in range(slope.size):
        out[c] = u * slope[c] + (base[c] + row)


@njit(fastmath=FASTMATH, **LEAN)
def _differences(flux, plane, st, change):
    low, high = flux[plane - st :], flux[plane:]
    for c in range(change.size):
        change[c] = low[c] - high[c]


@njit(fastmath=FASTMATH, **LEAN)
def _add_differences(flux, plane, st, change):
    low, high = flux[plane - st :], flux[plane:]
    for c in range(change.size):
        change[c] += low[c] - high[c]


@njit(fastmath=CONTRACT, **LEAN)
def _finish(start, m, h, share, change, flux, plane, st, out):
    low, high = flux[plane - st :], flux[plane:]
    for c in range(out.size):
        out[c] = start[c] + share * ((m[c] - start[c]) + h * (change[c] + (low[c] - high[c])))


def _limited(half_slope):
    """The loops over faces for one limiter; ``half_slope(near, b, a)`` = φ.

    ``loop`` has κ, behind and ahead for each cell, ``along`` one of each for a whole row.
    """

    @njit(fastmath=CONTRACT, error_model="numpy")
    def loop(plane, st, kappa, behind, ahead, v, m, out):
        v_after, to = v[st:], out[plane:]
        before, here, after, beyond = (
            m[plane - st :],
            m[plane:],
            m[plane + st :],
            m[plane + 2 * st :],
        )
        for c in range(kappa.size):
            w = kappa[c] * (v[c] - v_after[c])
            a = after[c] - here[c]
            up = w > 0.0
            b = behind[c] * (here[c] - before[c]) if up else ahead[c] * (beyond[c] - after[c])
            near = here[c] if up else after[c]
            half = half_slope(near, b, a)
            face = near + (half if up else -half)
            to[c] = w * (0.0 if face < 0.0 else face)  # φ may pass −m by a rounding

    @njit(fastmath=CONTRACT, error_model="numpy")
    def along(plane, kappa, behind, ahead, v, m, out):
        v_after, to = v[plane:], out[plane:]
        before, here = m[:plane], m[plane:]
        after, beyond = m[2 * plane :], m[3 * plane :]
        for c in range(plane):
            w = kappa * (v[c] - v_after[c])
            a = after[c] - here[c]
            up = w > 0.0
            b = behind * (here[c] - before[c]) if up else ahead * (beyond[c] - after[c])
            near = here[c] if up else after[c]
            half = half_slope(near, b, a)
            face = near + (half if up else -half)
            to[c] = w * (0.0 if face < 0.0 else face)  # φ may pass −m by a rounding

    return loop, along


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


_upwind_loop, _upwind_along = _limited(_flat)
_van_leer_loop, _van_leer_along = _limited(_van_leer)
_minmod_loop, _minmod_along = _limited(_minmod)
_mc_loop, _mc_along = _limited(_mc)
_koren_loop, _koren_along = _limited(_koren)
_third_loop, _third_along = _limited(_third)


@njit(**LEAN)
def _faces(code, plane, st, kappa, behind, ahead, v, m, out):
    """out[W + c] = flux through the upper face of cell c along an axis; m starts a row earlier."""
    if code == VAN_LEER:
        _van_leer_loop(plane, st, kappa, behind, ahead, v, m, out)
    elif code == MINMOD:
        _minmod_loop(plane, st, kappa, behind, ahead, v, m, out)
    elif code == MC:
        _mc_loop(plane, st, kappa, behind, ahead, v, m, out)
    elif code == KOREN:
        _koren_loop(plane, st, kappa, behind, ahead, v, m, out)
    elif code == THIRD:
        _third_loop(plane, st, kappa, behind, ahead, v, m, out)
    else:
        _upwind_loop(plane, st, kappa, behind, ahead, v, m, out)


@njit(**LEAN)
def _row_faces(code, plane, kappa, behind, ahead, v, m, out):
    """The same between a single row and the next."""
    if code == VAN_LEER:
        _van_leer_along(plane, kappa, behind, ahead, v, m, out)
    elif code == MINMOD:
        _minmod_along(plane, kappa, behind, ahead, v, m, out)
    elif code == MC:
        _mc_along(plane, kappa, behind, ahead, v, m, out)
    elif code == KOREN:
        _koren_along(plane, kappa, behind, ahead, v, m, out)
    elif code == THIRD:
        _third_along(plane, kappa, behind, ahead, v, m, out)
    else:
        _upwind_along(plane, kappa, behind, ahead, v, m, out)


def advance_with(half_slope):
    """``advance`` for a limiter of one's own; its code is not read, and nothing is cached.

    The body of ``advance`` is compiled with other loops in place of the two that it names: loops
    handed over as arguments, or closed over, would cost the built-in limiters their cache.
    """
    loop, along = _limited(half_slope)

    @njit(nogil=True, error_model="numpy")
    def faces_of(code, plane, st, kappa, behind, ahead, v, m, out):
        loop(plane, st, kappa, behind, ahead, v, m, out)

    @njit(nogil=True, error_model="numpy")
    def row_faces_of(code, plane, kappa, behind, ahead, v, m, out):
        along(plane, kappa, behind, ahead, v, m, out)

    names = {**globals(), "_faces": faces_of, "_row_faces": row_faces_of}
    body = FunctionType(advance.py_func.__code__, names, "advance_with")
    return njit(**(LEAN | {"cache": False}))(body)


@njit(**LEAN)
def survey(t, shares, faces, v, m, work, dissipation, mass, most, least):
    """What a step is judged by: dissipation and mass (T, K), fastest outflow, smallest mass (T,).

    Of share t: blocks of rows are dealt as in ``advance``. The dissipation is
    Σ κ (V_c − V_{c+1})² (m_c + m_{c+1})/2; the outflow of a cell that holds mass is
    Σ κ max(fall of V, 0) over its faces: no limiter puts more than twice its mass on a face.
    """
    strides, row_kappa, kappa, _, _ = faces
    nodes, rows, plane = m.shape
    block = kappa.shape[1]
    some = block // plane
    padded, scratch = work[0][t], work[1][t]
    scratch[:] = 0
    here, upper, speed, rate = scratch[0], scratch[1], scratch[2], scratch[3]
    across, least_here, most_here = scratch[4], scratch[5, :block], scratch[6, :block]
    _fill(np.inf, least_here)
    each = (rows + some - 1) // some
    begin, end = t * nodes * each // shares, (t + 1) * nodes * each // shares
    _fill(0.0, dissipation[t])
    _fill(0.0, mass[t])
    for at in range(begin - (1 if begin % each else 0), end):
        k, j = at // each, at % each * some
        if j == 0:
            _fill(0.0, upper)
        count = min(some, rows - j)
        size = count * plane
        low, high = (j - 1) * plane, (j + count + 2) * plane
        if low >= 0 and high <= rows * plane:
            masses = m[k].reshape(-1)[low:high]
        else:
            masses = padded[:]
            _beside_walls(m[k].reshape(-1), low, high, masses)
        _potentials(v, rows, plane, k, j, count, here)
        for i in range(count):
            _fill(row_kappa[j + i], across[i * plane : (i + 1) * plane])
        _copy(upper[block : block + plane], upper[:plane])
        found = _speeds(plane, plane, across[:size], here, masses, upper)
        if at < begin:
            continue
        dissipation[t, k] += found
        _fill(0.0, rate[:size])
        _add_outflow(upper, plane, plane, rate[:size])
        for a in range(1, strides.size):
            st = strides[a]
            dissipation[t, k] += _speeds(plane, st, kappa[a - 1, :size], here, masses, speed)
            _add_outflow(speed, plane, st, rate[:size])
        mass[t, k] += _summary(masses[plane:], rate[:size], least_here, most_here)
    most[t], least[t] = 0.0, np.inf
    for c in range(block):
        most[t], least[t] = max(most[t], most_here[c]), min(least[t], least_here[c])


@njit(fastmath=FASTMATH, **LEAN)
def _speeds(plane, st, kappa, v, m, out):
    total, v_after, to, here, after = 0.0, v[st:], out[plane:], m[plane:], m[plane + st :]
    for c in range(kappa.size):
        fall = v[c] - v_after[c]
        w = kappa[c] * fall
        to[c] = w
        total += w * fall * (0.5 * (here[c] + after[c]))
    return total


@njit(**LEAN)
def _add_outflow(speed, plane, st, rate):
    low, high = speed[plane - st :], speed[plane:]
    for c in range(rate.size):
        rate[c] += max(high[c], 0.0) + max(-low[c], 0.0)


@njit(fastmath=FASTMATH, **LEAN)
def _summary(m, rate, least, most):
    """Sum of the masses; the smallest and the fastest are kept place by place."""
    total = 0.0
    for c in range(rate.size):
        total += m[c]
        least[c] = m[c] if m[c] < least[c] else least[c]
        speed = rate[c] if m[c] > 0.0 else 0.0
        most[c] = speed if speed > most[c] else most[c]
    return total
