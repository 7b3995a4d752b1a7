"""Activations as branch-free scalars: one value and one slope, written so that loops vectorise.

Everything rests on one reduction. With n = round(x / ln 2), c = tanh((x − n ln 2)/2), s = 2ⁿ,

    e^x = s (1 + c)/(1 − c),

so that tanh, sigmoid, silu, softplus and gelu each need one division, a polynomial in r² and an
exponent made by an integer shift. Arithmetic stays in the precision of the argument. Clamps are
compare-and-select, through which NaN passes. Polynomials are minimax fits of relative error
(Remez exchange in 50 digits), each below 2e−17 (float64) or 1e−9 (float32) on its interval.

Errors of σ in units in the last place, as tested (either precision, wherever |σ| is normal): tanh
3.5, sigmoid 3, silu, softplus and sin 4, gelu 7. Slopes: absolute error below 3 machine epsilons.
"""

from __future__ import annotations

import math

import llvmlite.ir as ir
from numba import njit, types
from numba.extending import intrinsic

# No "reassoc" or "afn" here: they would undo the rounding trick and the two-part constants.
EXACT = {"nsz", "contract"}

# Beyond these arguments sin's reduction by a three-part π loses digits (callers use libm there).
SIN_RANGE = (1.0e6, 250.0)


@intrinsic
def pick(typingctx, x, c64, c32):
    """The constant for the precision of x."""

    def codegen(context, builder, signature, args):
        return _constant(builder, signature.args[0], args[1], args[2])

    return x(x, types.float64, types.float64), codegen


def _constant(builder, kind, c64, c32):
    return c64 if kind == types.float64 else builder.fptrunc(c32, ir.FloatType())


@intrinsic
def polynomial(typingctx, x, c64, c32):
    """The polynomial in x with the coefficients (lowest first) for the precision of x.

    A long Horner chain waits on itself, so many terms run as two chains: even and odd powers.
    """

    def codegen(context, builder, signature, args):
        kind, x = signature.args[0], args[0]
        source, count = (args[1], len(c64)) if kind == types.float64 else (args[2], len(c32))
        terms = [builder.extract_value(source, k) for k in range(count)]
        terms = [_constant(builder, kind, c, c) for c in terms]
        if count < 16:
            return _horner(builder, x, terms)
        square = builder.fmul(x, x)
        odd = builder.fmul(x, _horner(builder, square, terms[1::2]))
        return builder.fadd(_horner(builder, square, terms[::2]), odd)

    return x(x, c64, c32), codegen


def _horner(builder, x, terms):
    value = terms[-1]
    for c in reversed(terms[:-1]):
        value = builder.fadd(builder.fmul(value, x), c)
    return value


def _bits(builder, kind, value):
    """The float as an integer, the integer type, and how many bits its fraction has."""
    width, fraction = (64, 52) if kind == types.float64 else (32, 23)
    integer = ir.IntType(width)
    return builder.bitcast(value, integer), integer, fraction


@intrinsic
def _power_of_two(typingctx, t):
    """2ⁿ from t = n + 1.5·2⁵² + 1023: the biased exponent lies in the low bits of t."""

    def codegen(context, builder, signature, args):
        bits, integer, fraction = _bits(builder, signature.args[0], args[0])
        shifted = builder.shl(bits, ir.Constant(integer, fraction))
        return builder.bitcast(shifted, args[0].type)

    return t(t), codegen


@intrinsic
def _alternate(typingctx, x, t):
    """(−1)ⁿ x from t = n + 1.5·2⁵²: the parity of n moves to the sign of x."""

    def codegen(context, builder, signature, args):
        kind = signature.args[0]
        parity, integer, _ = _bits(builder, kind, args[1])
        sign = builder.shl(parity, ir.Constant(integer, integer.width - 1))
        flipped = builder.xor(_bits(builder, kind, args[0])[0], sign)
        return builder.bitcast(flipped, args[0].type)

    return x(x, t), codegen


# tanh(r)/r in r², |r| <= ln 2 / 4.
_TANH = (
    (
        1.0,
        -0.3333333333333210303,
        0.1333333333267788321,
        -0.05396825265799695499,
        0.02186936369914431669,
        -0.008857118859341965858,
        0.003442864707279635598,
    ),
    (1.0, -0.333333189, 0.133309175, -0.0526754136),
)
# 2 artanh(v)/v in v², 0 <= v <= 1/3.
_ARTANH = (
    (
        2.0,
        0.6666666666666613368,
        0.4000000000019050816,
        0.2857142854490223688,
        0.2222222411321591924,
        0.1818173973582087606,
        0.1538663658571341086,
        0.133000873044490763,
        0.1211237207103347018,
        0.08315134329992064351,
        0.1706110398596815576,
    ),
    (2.0, 0.666666793, 0.399986903, 0.286207385, 0.213930617, 0.244138208),
)
# sin(r)/r and cos(r) in r², |r| <= π/2.
_SIN = (
    (
        1.0,
        -0.1666666666666666504,
        0.008333333333333163828,
        -0.0001984126984120142465,
        2.755731921008246117e-6,
        -2.505210679184081321e-8,
        1.605893616507270527e-10,
        -7.642909264665106218e-13,
        2.720388185081850701e-15,
    ),
    (1.0, -0.166666666, 0.00833333071, -0.000198408315, 2.75239039e-6, -2.3867166e-8),
)
_COS = (
    (
        1.0,
        -0.499999999999999741,
        0.04166666666666386854,
        -0.00138888888887724796,
        0.00002480158727732368023,
        -2.75573163822735335e-7,
        2.087656137942404141e-9,
        -1.146288938737631161e-11,
        4.60883979062565385e-14,
    ),
    (1.0, -0.499999994, 0.0416666361, -0.00138883598, 2.47600799e-5, -2.60500279e-7),
)
# (a + 4) Φ(−a) e^{a²/2} in (a − 4)/(a + 4), 0 <= a <= 39 (13.5 in float32).
_MILLS = (
    (
        0.7552851304157514784,
        -0.607896641971892049,
        0.3871374007422194764,
        -0.1865218579596654188,
        0.06039657489066630654,
        -0.007540188966435208571,
        -0.003479692361607556476,
        0.001630818453280839772,
        0.0001333442485304122878,
        -0.0002310949037252379144,
        -1.90784400890686401e-6,
        0.00003514456971748504577,
        7.149756413993109247e-7,
        -5.920011406549958246e-6,
        -6.252286941858245919e-7,
        1.02185746956523099e-6,
        2.641549248784987957e-7,
        -1.565924009026052836e-7,
        -7.721075755053976179e-8,
        1.606943475790578191e-8,
        1.461920188438928644e-8,
        -3.390922493838240382e-10,
        -1.196582644233416003e-9,
    ),
    (
        0.755285131,
        -0.60789665,
        0.387137346,
        -0.186521535,
        0.0603977173,
        -0.00754335215,
        -0.00348919601,
        0.00164014137,
        0.000168450589,
        -0.000228119903,
        -4.8962673e-5,
    ),
)


@njit(cache=True, fastmath=EXACT, error_model="numpy", forceinline=True)
def _clamp(x, low, high):
    x = low if x < low else x
    return high if x > high else x


@njit(cache=True, fastmath=EXACT, error_model="numpy", forceinline=True)
def _reduced(x, tail):
    """s, r, tanh(r)/r with e^{2(x + tail)} = s (1 + tanh r)/(1 − tanh r), |x| <= 354 (43.5)."""
    magic = pick(x, 6755399441056767.0, 12583039.0)  # 1.5·2⁵² + 1023 rounds to whole numbers
    t = x * pick(x, 2.8853900817779268, 2.8853900817779268) + magic
    n = t - magic
    r = x - n * pick(x, 0.34657359027994514, 0.3465728759765625)
    r = (r - n * pick(x, 2.7489615093541874e-14, 7.143034101597047e-07)) + tail
    return _power_of_two(t), r, polynomial(r * r, _TANH[0], _TANH[1])


@njit(cache=True, fastmath=EXACT, error_model="numpy", forceinline=True)
def _exponential(x):
    """s and c with e^x = s (1 + c)/(1 − c); saturates where e^x would leave the normal range."""
    high = pick(x, 354.0, 43.5)
    s, r, p = _reduced(_clamp(x * pick(x, 0.5, 0.5), -high, high), pick(x, 0.0, 0.0))
    return s, r * p


@njit(cache=True, fastmath=EXACT, error_model="numpy", forceinline=True)
def exponential(x):
    """e^x, saturating where it would leave the normal range."""
    s, c = _exponential(x)
    return (s + s * c) / (pick(x, 1.0, 1.0) - c)


@njit(cache=True, fastmath=EXACT, error_model="numpy", forceinline=True)
def tanh(x):
    """tanh x = ((s − 1) + c (s + 1)) / ((s + 1) + c (s − 1)) with s, c of 2x; exactly odd."""
    one, high = pick(x, 1.0, 1.0), pick(x, 20.0, 10.0)
    s, r, p = _reduced(_clamp(x, -high, high), pick(x, 0.0, 0.0))
    up, down = s + one, s - one
    value = (down + p * (r * up)) / (up + p * (r * down))
    return value, one - value * value


@njit(cache=True, fastmath=EXACT, error_model="numpy", forceinline=True)
def sigmoid(x):
    """1/(1 + e^{−x})."""
    one = pick(x, 1.0, 1.0)
    s, c = _exponential(x)
    up, down = s + s * c, one - c
    scale = one / (up + down)
    value = up * scale
    return value, value * (down * scale)


@njit(cache=True, fastmath=EXACT, error_model="numpy", forceinline=True)
def silu(x):
    """x/(1 + e^{−x})."""
    one, low = pick(x, 1.0, 1.0), pick(x, -708.0, -87.0)
    g, slope = sigmoid(x)
    x = low if x < low else x
    return x * g, g + x * slope if x < one - low else g


@njit(cache=True, fastmath=EXACT, error_model="numpy", forceinline=True)
def softplus(x):
    """log(1 + e^x) = max(x, 0) + 2 artanh(t/(2 + t)), t = e^{−|x|}; its slope is the sigmoid."""
    one, zero = pick(x, 1.0, 1.0), pick(x, 0.0, 0.0)
    s, c = _exponential(-abs(x))
    up, down = s + s * c, one - c
    v = up / (up + (down + down))
    slope = (up if x < zero else down) / (up + down)
    return (zero if x < zero else x) + v * polynomial(v * v, _ARTANH[0], _ARTANH[1]), slope


@njit(cache=True, fastmath=EXACT, error_model="numpy", forceinline=True)
def gelu(x):
    """x Φ(x), Φ the normal distribution function, from Mills' ratio in (|x| − 4)/(|x| + 4)."""
    one, half, shift = pick(x, 1.0, 1.0), pick(x, 0.5, 0.5), pick(x, 4.0, 4.0)
    high = pick(x, 37.6, 13.1)
    y = _clamp(x, -high, high)
    a = abs(y)
    cut = pick(x, 6442450944.0, 49152.0)  # 1.5·2³²: the square of a's leading half is exact
    lead = (a + cut) - cut
    quarter = half * half
    s, r, p = _reduced(-quarter * lead * lead, -quarter * (a - lead) * (a + lead))
    c = r * p
    density = (s + s * c) / (one - c)
    inverse = one / (a + shift)
    tail = density * (polynomial((a - shift) * inverse, _MILLS[0], _MILLS[1]) * inverse)
    phi = one - tail if x > pick(x, 0.0, 0.0) else tail
    slope = phi + y * (density * pick(x, 0.3989422804014327, 0.3989422804014327))
    return (-high if x < -high else x) * phi, slope


@njit(cache=True, fastmath=EXACT, error_model="numpy", forceinline=True)
def silu_curvature(x):
    """The second derivative of silu, g′ (2 + x (1 − 2g)) with g the sigmoid."""
    one, two, high = pick(x, 1.0, 1.0), pick(x, 2.0, 2.0), pick(x, 708.0, 87.0)
    y = _clamp(x, -high, high)
    g, slope = sigmoid(y)
    return slope * (two + y * (one - two * g))


@njit(cache=True, fastmath=EXACT, error_model="numpy", forceinline=True)
def gelu_curvature(x):
    """The second derivative of gelu, φ(x) (2 − x²) with φ the normal density."""
    high, half = pick(x, 37.6, 13.1), pick(x, 0.5, 0.5)
    y = _clamp(x, -high, high)
    square = y * y
    density = pick(x, 0.3989422804014327, 0.3989422804014327) * exponential(-half * square)
    return density * (pick(x, 2.0, 2.0) - square)


@njit(cache=True, fastmath=EXACT, error_model="numpy", forceinline=True)
def relu(x):
    """max(x, 0), slope 0 at x = 0."""
    zero = pick(x, 0.0, 0.0)
    slope = zero if x <= zero else x  # positive or NaN
    return zero if x < zero else x, pick(x, 1.0, 1.0) if slope > zero else slope


@njit(cache=True, fastmath=EXACT, error_model="numpy", forceinline=True)
def sin(x):
    """sin x and cos x for |x| below SIN_RANGE, from r = x − nπ with π in three parts."""
    magic = pick(x, 6755399441055744.0, 12582912.0)
    t = x * pick(x, 0.3183098861837907, 0.3183098861837907) + magic
    n = t - magic
    r = x - n * pick(x, 3.1415926534682512, 3.14154052734375)
    r = r - n * pick(x, 1.2154201012607932e-10, 5.212612450122833e-05)
    r = r - n * pick(x, 4.044532497591901e-21, 1.2154201013012384e-10)
    u = r * r
    value = r * polynomial(u, _SIN[0], _SIN[1])
    return _alternate(value, t), _alternate(polynomial(u, _COS[0], _COS[1]), t)


@njit(cache=True, fastmath=EXACT, error_model="numpy", forceinline=True)
def sin_any(x):
    """sin x and cos x for any x, by libm: slow, so only where |x| passes SIN_RANGE."""
    return math.sin(x), math.cos(x)
