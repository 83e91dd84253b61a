"""Fast baselines in NumPy, and in torch for any device: three solvers of one small matrix.

The same weights, the same equations as `reference.baseline`, divided through by lam:

  rows       the recurrences of the plain form, every operation in place on a row of many lanes
  chunks     a lane is cut into chunks of at most 40 samples that are solved side by side as lanes
             of the rows; the last two samples s_k of each chunk k tie it to the next (`_tie`)
  reduction  block cyclic reduction with 2 x 2 blocks: log2(T / 2) levels, each eliminating the odd
             blocks; the same code for NumPy arrays and tensors on any device with float64

Gain over the plain form on one core (12 leads of 5,000 samples, Xeon at 2.8 GHz): chunks 20 times
for one record (15 ms), rows 2.9 times in batches of 128 (6.1 ms a record); the reduction takes 26
ms for one record and is what a device without Triton has. `benchmarks/test_als.py` measures them.

Glossary: T samples, lane = one signal, y signal, z baseline, w weights, lam smoothness, p
asymmetry, a b 1 = diagonals of W / lam + D'D, r = 1 / v, q = e / v.
Source: reference.baseline.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

ROW_LANES = 1536  # lanes solved together: four buffers of T rows, 246 MB at T = 5000
ROW_BLOCK = 16  # rows re-weighted together: they stay in the second-level cache
ROWS_FROM = 240  # lanes: from here on the rows are the fastest
CHUNK = 40  # samples, at most
CHUNK_LANES = 24  # lanes cut into chunks together
DENSE_BLOCKS = 16  # the last blocks of a NumPy reduction, solved as dense matrices
NO_TIES = np.int64(0)  # in no lane does the signal meet its baseline


def solve(lanes: np.ndarray, lam: float, p: float, iterations: int, method: str) -> np.ndarray:
    """Baselines of many lanes, so many at a time as fit into the caches.

    Args:
        lanes: [n, T] real, T >= 3.
        lam, p, iterations: as `reference.baseline.asymmetric_least_squares`.
        method: "rows", "chunks", "reduction", or "auto": rows from 240 lanes on, chunks below.
    Returns:
        [n, T] float64.
    """
    if method == "auto":
        method = "chunks" if len(lanes) < ROWS_FROM else "rows"
    form, step = {"rows": (by_rows, ROW_LANES), "chunks": (by_chunks, CHUNK_LANES),
                  "reduction": (by_reduction, CHUNK_LANES)}[method]
    baseline = np.empty(lanes.shape)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # singular lanes
        for start in range(0, len(lanes), step):
            part = lanes[start:start + step].astype(np.float64, copy=False)
            baseline[start:start + step] = form(part, lam, p, iterations)
    return baseline


def _diagonals(T: int) -> tuple[np.ndarray, np.ndarray]:
    """Diagonal [T] and first off-diagonal [T] (last entry 0) of D'D; the second one is 1."""
    a, b = np.zeros(T), np.zeros(T)
    for k, square in enumerate((1.0, 4.0, 1.0)):
        a[k:T - 2 + k] += square
    b[:T - 2] -= 2.0
    b[1:T - 1] -= 2.0
    return a, b


# --- rows: [T, lanes] ------------------------------------------------------------------------


def by_rows(signal: np.ndarray, lam: float, p: float, iterations: int) -> np.ndarray:
    """[lanes, T] -> [lanes, T]; buffers are overwritten in place, z takes turns with g and w y."""
    y = np.ascontiguousarray(signal.T)  # [T, lanes]
    T, lanes = y.shape
    a, b = _diagonals(T)
    z = y / lam  # the right-hand side of w = 1
    r, q, first = np.empty((T, 1)), np.empty((T, 1)), (a + 1.0 / lam)[:, None]
    _factor(list(first), list(r), list(q), np.empty(1), b.tolist(), 0)  # the same for all lanes
    rows = list(z)
    _forward(rows, list(r), list(q), 0, T, np.empty(lanes))
    _backward(rows, list(r), list(q), np.empty(lanes))
    met = (y == y[0]).all(axis=0)  # constant signals
    if iterations > 1:
        met |= _reweighted_rows(y, z, lam, p, iterations - 1)
    z[:, met] = y[:, met]
    return z.T


def _reweighted_rows(y: np.ndarray, z: np.ndarray, lam: float, p: float, times: int) -> np.ndarray:
    """Re-weight and solve `times` times, z in place; returns which lanes became singular."""
    T, lanes = y.shape
    a, b = _diagonals(T)
    b = b.tolist()
    r, q = np.empty((T, lanes)), np.empty((T, lanes))
    block, sign = np.empty((ROW_BLOCK, lanes)), np.empty((ROW_BLOCK, lanes))
    e, spare = np.empty(lanes), np.empty(lanes)
    z_rows, r_rows, q_rows, block_rows = list(z), list(r), list(q), list(block)
    met = np.zeros(lanes, dtype=bool)
    for _ in range(times):
        ties = np.zeros(lanes, dtype=np.int64)
        for start in range(0, T, ROW_BLOCK):
            stop = min(start + ROW_BLOCK, T)
            here, w = slice(start, stop), block[:stop - start]
            ties += _weights(y[here], z[here], lam, p, w, sign[:stop - start])
            np.multiply(w, y[here], out=z[here])
            np.add(w, a[here, None], out=w)
            _factor(block_rows[:stop - start], r_rows, q_rows, e, b, start)
            _forward(z_rows, r_rows, q_rows, start, stop, spare)
        _backward(z_rows, r_rows, q_rows, spare)
        met |= ties > T - 2
    return met


def _weights(y: np.ndarray, z: np.ndarray, lam: float, p: float, w: np.ndarray,
             sign: np.ndarray) -> np.ndarray | np.int64:
    """w <- weights / lam of these rows; returns the number of ties in each lane."""
    above, below = (y, z) if p >= 0.5 else (z, y)
    np.subtract(above, below, out=sign)
    np.copysign(abs(p - 0.5) / lam, sign, out=w)
    np.add(w, 0.5 / lam, out=w)
    if np.count_nonzero(sign) == sign.size:
        return NO_TIES
    tied = sign == 0
    w[tied] = 0.0
    return tied.sum(axis=0)


def _factor(a: list, r: list, q: list, e: np.ndarray, b: list, start: int) -> None:
    """Rows start.. of the factorisation; a, their diagonal, is overwritten and e is carried on."""
    spare = np.empty_like(e)
    for i, v in enumerate(a, start):
        if i > 0:
            np.subtract(v, np.multiply(q[i - 1], e, out=spare), out=v)
        if i > 1:
            np.subtract(v, r[i - 2], out=v)
        np.reciprocal(v, out=r[i])
        np.subtract(b[i], q[i - 1] if i > 0 else 0.0, out=e)
        np.multiply(e, r[i], out=q[i])


def _forward(g: list, r: list, q: list, start: int, stop: int, spare: np.ndarray) -> None:
    """Rows start..stop of L g = right-hand side, in place."""
    for i in range(start, stop):
        if i > 0:
            np.subtract(g[i], np.multiply(q[i - 1], g[i - 1], out=spare), out=g[i])
        if i > 1:
            np.subtract(g[i], np.multiply(r[i - 2], g[i - 2], out=spare), out=g[i])


def _backward(z: list, r: list, q: list, spare: np.ndarray) -> None:
    """V L' z = g, in place."""
    last = len(z) - 1
    for i in range(last, -1, -1):
        if i + 2 <= last:
            np.subtract(z[i], z[i + 2], out=z[i])
        np.multiply(z[i], r[i], out=z[i])
        if i + 1 <= last:
            np.subtract(z[i], np.multiply(q[i], z[i + 1], out=spare), out=z[i])


# --- chunks: [S, lanes * chunks], a column is one chunk of one lane --------------------------


class _Chunks(NamedTuple):
    """Buffers for chunks of S = m + 2 samples in W columns."""

    r: np.ndarray  # [m, W] of the factorisation of the first m rows
    q: np.ndarray  # [m, W]
    g: np.ndarray  # [m, 3, W] its forward substitution: right-hand side, columns of s_{k-1}
    scaled: np.ndarray  # [2, m, W]
    lanes: int


def by_chunks(signal: np.ndarray, lam: float, p: float, iterations: int) -> np.ndarray:
    """[lanes, T] -> [lanes, T]; samples of weight 0 at the end, which change nothing, fill up."""
    lanes, T = signal.shape
    count = -(-T // CHUNK)
    size = max(-(-T // count), 4)
    width, beyond = lanes * count, count * size - T

    def columns(x: np.ndarray) -> np.ndarray:  # [n, count * size] -> [size, n * count]
        return x.reshape(-1, size).T

    space = np.empty((13, size, width))  # in one piece, which the system gives as large pages
    y, a, b, w, z, sign, r, q = space[:8]
    y[:] = columns(np.pad(signal, ((0, 0), (0, beyond))))
    for x, diagonal in zip((a, b), _diagonals(count * size), strict=True):
        x.reshape(size, lanes, count)[:] = columns(diagonal)[:, None]
    w[:] = 1.0 / lam
    filled = np.tile(columns(np.arange(count * size) >= T), lanes)
    g = space[8:11].reshape(-1)[:3 * (size - 2) * width].reshape(size - 2, 3, width)
    buffers = _Chunks(r[:-2], q[:-2], g, space[11:, :-2], lanes)
    met = (signal == signal[:, :1]).all(axis=1)  # constant signals
    for iteration in range(iterations):
        if iteration > 0 and _weights(y, z, lam, p, w, sign) is not NO_TIES:
            met |= np.count_nonzero(w.reshape(size, lanes, count), axis=(0, 2)) < 2
        w[filled] = 0.0
        if met.any():  # not their solution, and not singular
            w.reshape(size, lanes, count)[:, met] = 1.0 / lam
        np.multiply(w, y, out=z)
        _solve_chunks(np.add(w, a, out=w), b, z, buffers)
    return np.where(met[:, None], signal, z.T.reshape(lanes, -1)[:, :T])


def _solve_chunks(a: np.ndarray, b: np.ndarray, z: np.ndarray, buffers: _Chunks) -> None:
    """Solve for all chunks; a, the diagonal, is overwritten, z the right side and the solution."""
    r, q, g, _, lanes = buffers
    m, width = r.shape
    g[:, 0], g[:, 1:] = z[:m], 0.0
    g[0, 1], g[0, 2], g[1, 2] = 1.0, b[0, 0 if width == lanes else 1], 1.0
    r_rows, q_rows = list(r), list(q)
    _factor(list(a[:m]), r_rows, q_rows, np.empty(width), [b[0], *b[1:m, -1].tolist()], 0)
    _forward(list(g), r_rows, q_rows, 0, m, np.empty((3, width)))
    beta = b[m - 1] - q[m - 2]
    ends = _tie((a[m], b[m], a[m + 1]), z[m:], beta, buffers)  # two [lanes, chunks]
    inner, before = z[:m], np.zeros((2, lanes, width // lanes))
    for k, s in enumerate(ends):
        z[m + k] = s.reshape(width)
        before[k, :, 1:] = s[:, :-1]
    np.subtract(g[:, 0], np.multiply(g[:, 1], before[0].reshape(width), out=g[:, 1]), out=inner)
    inner -= np.multiply(g[:, 2], before[1].reshape(width), out=g[:, 2])
    inner[m - 2] -= z[m]
    inner[m - 1] -= beta * z[m] + z[m + 1]
    _backward(list(inner), r_rows, q_rows, np.empty(width))


def _tie(diagonal: tuple, right: np.ndarray, beta: np.ndarray, buffers: _Chunks) -> tuple:
    """The last two samples s_k of all chunks: the system that is left without the inner ones.

    With A = N V N' the inner rows of chunk k, L and R the columns by which s_{k-1} and s_k enter
    them, f their right-hand side and l, g = N^-1 [L, f] (buffers.g), N^-1 R is zero but for its
    last two rows (1, 0) and (beta, 1), and s_k has

        diagonal  D_k - R' A^-1 R - (L' A^-1 L)_{k+1}        coupling to s_{k+1}  -(L' A^-1 R)_{k+1}
        right     f_k - R' A^-1 f - (L' A^-1 f)_{k+1}
    """
    r, _, g, scaled, lanes = buffers
    u, v = g[-2] * r[-2], g[-1] * r[-1]  # [3, W]
    with_f, with_first, with_second = zip(u + beta * v, v, strict=True)  # R' A^-1 [f, L], 2 x [W]
    for k in (0, 1):
        np.multiply(r, g[:, k + 1], out=scaled[k])
    own = (r[-2] + r[-1] * beta * beta, r[-1] * beta, r[-1])  # R' A^-1 R
    following = [np.einsum("mw,mw->w", x, y) for x, y in (
        (scaled[0], g[:, 1]), (scaled[0], g[:, 2]), (scaled[1], g[:, 2]),  # L' A^-1 L
        (scaled[0], g[:, 0]), (scaled[1], g[:, 0]))]  # L' A^-1 f
    left = [(x - y).reshape(lanes, -1)
            for x, y in zip((*diagonal, *right), (*own, *with_f), strict=True)]
    for x, y in zip(left, following, strict=True):
        x[:, :-1] -= y.reshape(lanes, -1)[:, 1:]
    coupling = tuple(-x.reshape(lanes, -1)[:, 1:] for x in (*with_first, *with_second))
    return _reduce(tuple(left[:3]), coupling, tuple(left[3:]))


# --- block cyclic reduction: [..., T], NumPy or torch ----------------------------------------

EVEN, ODD, TAIL = (..., slice(0, None, 2)), (..., slice(1, None, 2)), (..., slice(1, None))


def by_reduction(y, lam: float, p: float, iterations: int):
    """[..., T] -> [..., T]."""
    where, ones = (torch.where, torch.ones_like) if isinstance(y, torch.Tensor) else \
        (np.where, np.ones_like)
    z, w = y, ones(y[..., :1, :] if y.ndim > 1 else y)  # w = 1: one matrix for all lanes
    for iteration in range(iterations):
        if iteration > 0:
            sign = _sign(y - z)
            w = abs(sign) * 0.5 + sign * (p - 0.5)
            met = abs(sign).sum(-1) < 2
            w = where(met[..., None], ones(w), w)  # gives y back, within rounding
        z = _solve_blocks(w / lam, w * y / lam)
    constant = (y == y[..., :1]).all(-1)
    return where(constant[..., None], y, z)


def _solve_blocks(w, f):
    """(diag(w) + D'D) z = f as 2 x 2 blocks; an odd T gets one more row, z = 0."""
    T = w.shape[-1]
    a, b, c = (_like(x, w) for x in (*_diagonals(T), np.arange(T) < T - 2))  # [T] each
    a = a + w  # [..., T]
    if T % 2:
        a, b, c, f = _padded(a, 1.0), _padded(b, 0.0), _padded(c, 0.0), _padded(f, 0.0)
    D = (1.0 * a[EVEN], b[EVEN] + 0.0 * a[EVEN], 1.0 * a[ODD])
    inner = (..., slice(0, a.shape[-1] // 2 - 1))
    U = (c[EVEN][inner], 0.0 * c[EVEN][inner], b[ODD][inner], c[ODD][inner])
    return _interleave(*_reduce(D, U, (f[EVEN], f[ODD])))[..., :T]


def _reduce(D: tuple, U: tuple, f: tuple) -> tuple:
    """Solve a symmetric block-tridiagonal system of n blocks.

    D (three entries of the symmetric diagonal blocks) and f (two) are [..., n]; U (four, by rows)
    couples block k to block k + 1 and is [..., n - 1]. Block k odd: x_k = h - P x_{k-1} - Q x_{k+1}
    with h = D_k^-1 f_k, P = D_k^-1 U_{k-1}', Q = D_k^-1 U_k; put into its neighbours, that leaves
    the even blocks, coupled by -U Q.
    """
    n = D[0].shape[-1]
    if n <= DENSE_BLOCKS and isinstance(f[0], np.ndarray):
        return _dense(D, U, f)
    inverse = _inverse(*(d if n == 1 else 1.0 * d[ODD] for d in D))  # copies: no strides below
    if n == 1:
        return _times((inverse[0], inverse[1], inverse[1], inverse[2]), f)
    odd = n // 2
    K, M = (..., slice(0, odd)), (..., slice(0, n - 1 - odd))  # even blocks with a right, left one
    i = (inverse[0], inverse[1], inverse[1], inverse[2])
    u, v = (tuple(1.0 * x[part] for x in U) for part in (EVEN, ODD))  # even -> odd, odd -> even
    vt, ut = (v[0], v[2], v[1], v[3]), (u[0], u[2], u[1], u[3])
    h, P = _times(i, tuple(1.0 * x[ODD] for x in f)), _product(i, ut)
    Q = _product(tuple(x[M] for x in i), v)
    d, g = [1.0 * x[EVEN] for x in D], [1.0 * x[EVEN] for x in f]
    for x, right, left in zip(d, _symmetric(u, P), _symmetric(vt, Q), strict=True):
        x[K] -= right
        x[TAIL] -= left
    for x, right, left in zip(g, _times(u, h), _times(vt, tuple(x[M] for x in h)), strict=True):
        x[K] -= right
        x[TAIL] -= left
    coupling = tuple(-x for x in _product(tuple(x[M] for x in u), Q))
    even = _reduce(tuple(d), coupling, tuple(g))
    for x, left, right in zip(h, _times(P, tuple(x[K] for x in even)),
                              _times(Q, tuple(x[TAIL] for x in even)), strict=True):
        x[...] -= left
        x[M] -= right
    return tuple(_interleave(x, y) for x, y in zip(even, h, strict=True))


def _dense(D: tuple, U: tuple, f: tuple) -> tuple:
    """The same for few blocks of NumPy arrays [lanes, n], as dense matrices."""
    n = D[0].shape[1]
    k, first, second = np.arange(n), np.arange(n - 1), np.arange(1, n)
    matrix = np.zeros((len(D[0]), n, 2, n, 2))
    places = ((0, 0), (0, 1), (1, 0), (1, 1))
    for (i, j), d in zip(places, (D[0], D[1], D[1], D[2]), strict=True):
        matrix[:, k, i, k, j] = d
    for (i, j), u in zip(places, U, strict=True):
        matrix[:, first, i, second, j] = matrix[:, second, j, first, i] = u
    x = np.linalg.solve(matrix.reshape(-1, 2 * n, 2 * n),
                        np.stack(f, axis=2).reshape(-1, 2 * n, 1))  # [lanes, 2 n, 1]
    return x[:, 0::2, 0], x[:, 1::2, 0]


def _inverse(a, b, c) -> tuple:
    """Inverse of [[a, b], [b, c]], three entries."""
    scale = 1.0 / (a * c - b * b)
    return c * scale, -b * scale, a * scale


def _product(x: tuple, y: tuple) -> tuple:
    """2 x 2 matrix times 2 x 2 matrix, entries by rows."""
    return (x[0] * y[0] + x[1] * y[2], x[0] * y[1] + x[1] * y[3],
            x[2] * y[0] + x[3] * y[2], x[2] * y[1] + x[3] * y[3])


def _symmetric(x: tuple, y: tuple) -> tuple:
    """The same where the product is symmetric: three entries."""
    return (x[0] * y[0] + x[1] * y[2], x[0] * y[1] + x[1] * y[3], x[2] * y[1] + x[3] * y[3])


def _times(x: tuple, y: tuple) -> tuple:
    """2 x 2 matrix times vector."""
    return x[0] * y[0] + x[1] * y[1], x[2] * y[0] + x[3] * y[1]


def _interleave(even, odd):
    """[..., k] and [..., k or k - 1] -> [..., n], taking turns."""
    shape = (*even.shape[:-1], even.shape[-1] + odd.shape[-1])
    joined = even.new_empty(shape) if isinstance(even, torch.Tensor) else np.empty(shape)
    joined[EVEN], joined[ODD] = even, odd
    return joined


def _padded(x, value: float):
    """One more entry at the end of the last axis."""
    return torch.nn.functional.pad(x, (0, 1), value=value) if isinstance(x, torch.Tensor) else \
        np.concatenate((x, np.full((*x.shape[:-1], 1), value)), axis=-1)


def _like(x: np.ndarray, other):
    """x as float64, in the library and on the device of other."""
    x = x.astype(np.float64)
    return torch.from_numpy(x).to(other.device) if isinstance(other, torch.Tensor) else x


def _sign(x):
    return torch.sign(x) if isinstance(x, torch.Tensor) else np.sign(x)
