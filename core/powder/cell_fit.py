"""The fit of a candidate's cell to a measured curve: coarse scan of volume and shape, then Levenberg-Marquardt.

What is compared is g(y) = sqrt(y + n) - sqrt(n), n the noise of the measured net curve: counts become equally certain, and
a wrong intensity (texture, a template's coordinates) weighs less than a missing line. Parameters: reciprocal metric (P),
zero shift, logarithm of the scale, of the width, strain width, displacement factor B; soft bounds keep them sensible.
Levenberg-Marquardt: D. Marquardt, J. SIAM 11, 431 (1963). Shapes: X points, L lines, P metric coefficients, S starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystalfw.core.crystal import Crystal
from crystalfw.core.powder.cell_model import CellModel
from crystalfw.core.powder.target import COARSE_STEP, STEP, Target, gaussian
from crystalfw.core.system.compiled import njit

FloatArray = NDArray[np.float64]

BROADENED = 0.3
"""Degrees by which lines are broadened in the first refinement, so that near ones find each other."""
OTHERS = 5
"""Parameters besides the metric: zero shift, log scale, log width, strain, B."""
SPREADS = np.array([0.08, 3.0, 0.25, 0.25, 1.0])
"""Standard deviations of the soft bounds on them."""
CENTRES = np.array([0.0, 0.0, 0.0, 0.0, 0.6])
STRAIN = 0.1
"""Standard deviation of the soft bound on the change of each metric coefficient; an isotropic strain e changes the first by
sqrt(12) e."""
BOUND = 0.003
"""Weight of the soft bounds: a parameter one deviation off costs as much as this share of the curve's square."""
VOLUME, SHAPE = 0.20, 0.10
"""Spread of the scanned cells: range of the first coefficient to either side, largest deviation of the others."""
TRIALS, CHILDREN, STARTS = 120, 12, 3
"""Cells scanned for each free coefficient; tried around each kept one; refined."""
SCANNED_LINES = 150
"""The strongest lines, which a scan looks at."""
ROUNDS = ((0.9, 0.0, 0, 0.0), (0.6, 0.012, 12, 0.015), (0.4, 0.005, 10, 0.008))
"""Of the scan: full width (degrees) to which both curves are smoothed; deviation of the children; parents, at least so far
apart from each other."""
LAST_APART = 0.004


@dataclass(frozen=True, eq=False)
class Fitted:
    """The best fit of one candidate."""

    crystal: Crystal
    """With the fitted cell."""
    parameters: FloatArray
    """(P + OTHERS,)."""
    curve: FloatArray
    """(X,) computed net intensity on the target's scale."""
    misfit: float
    """sqrt(sum (g(measured) - g(computed))^2 / sum g(measured)^2); 0 is perfect, 1 explains nothing."""
    rwp: float
    """sqrt(sum w (y - c)^2 / sum w y^2) of net intensities, w = 1 / (y + n)."""


@njit(cache=True, nogil=True)
def model_curve(
    parameters: FloatArray, features: FloatArray, power: FloatArray, grid: FloatArray, wavelengths: FloatArray,
    weights: FloatArray, broad: float, curve: FloatArray, slopes: FloatArray,
) -> None:  # fmt: skip
    """Fill curve (X,) and its derivatives slopes (P + OTHERS, X); `broad` widens every line, for the first rounds."""
    n_metric = features.shape[1]
    zero, scale = parameters[n_metric], np.exp(parameters[n_metric + 1])
    width0, strain, b_iso = np.exp(parameters[n_metric + 2]), parameters[n_metric + 3], parameters[n_metric + 4]
    curve[:] = 0
    slopes[:] = 0
    step, first, points = grid[1] - grid[0], grid[0], len(grid)
    eta, reach, deg = 0.5, 6.0, 180 / np.pi
    log2 = np.log(2.0)
    for line in range(len(power)):
        q = 0.0
        for k in range(n_metric):
            q += parameters[k] * features[line, k]
        if q <= 0:
            continue
        root = np.sqrt(q)
        for w in range(len(wavelengths)):
            sine = root * wavelengths[w] / 2
            if sine >= 0.999:
                continue
            theta = np.arcsin(sine)
            cosine = np.sqrt(1 - sine * sine)
            centre = 2 * theta * deg + zero
            tangent = sine / cosine
            width = np.sqrt(width0 * width0 + (strain * tangent) ** 2 + broad * broad)
            half = width / 2
            low = max(0, int(np.ceil((centre - reach * half - first) / step)))
            high = min(points - 1, int(np.floor((centre + reach * half - first) / step)))
            if high < low:
                continue
            lp = (1 + np.cos(2 * theta) ** 2) / (sine * sine * cosine)
            area = scale * weights[w] * power[line] * lp * np.exp(-b_iso * q / 2)
            # d(two theta)/dq = wavelength / (2 sqrt(q)) / cos(theta), in degrees
            moved = deg * wavelengths[w] / (2 * root) / cosine
            lorentz, gauss = eta / (np.pi * half), (1 - eta) * np.sqrt(log2 / np.pi) / half
            for x in range(low, high + 1):
                u = (first + x * step - centre) / half
                l_part = lorentz / (1 + u * u)
                g_part = gauss * np.exp(-log2 * u * u)
                value = area * (l_part + g_part)
                # derivative by u, and by the width at a fixed place
                by_u = -area * (l_part * 2 * u / (1 + u * u) + g_part * 2 * log2 * u)
                by_centre = -by_u / half
                by_half = -(value + by_u * u) / half
                curve[x] += value
                for k in range(n_metric):
                    slopes[k, x] += by_centre * moved * features[line, k] - value * b_iso * features[line, k] / 2
                slopes[n_metric, x] += by_centre
                slopes[n_metric + 1, x] += value
                slopes[n_metric + 2, x] += by_half * width0 * width0 / (2 * width)
                slopes[n_metric + 3, x] += by_half * strain * tangent * tangent / (2 * width)
                slopes[n_metric + 4, x] -= value * q / 2


@njit(cache=True, nogil=True)
def refine(
    start: FloatArray, home: FloatArray, spread: FloatArray, features: FloatArray, power: FloatArray, grid: FloatArray,
    measured: FloatArray, noise: float, wavelengths: FloatArray, weights: FloatArray, broad: float, rounds: int,
    bound: float, curve: FloatArray,
) -> tuple[FloatArray, float]:  # fmt: skip
    """Levenberg-Marquardt from `start`: parameters and sum of squares without the bounds; `curve` is filled.

    `measured` is g of the measured curve; `home` and `spread` are the soft bounds, of weight `bound`.
    """
    n, points = len(start), len(grid)
    root = np.sqrt(noise)
    best = start.copy()
    slopes, trial_curve, trial_slopes = np.empty((n, points)), np.empty(points), np.empty((n, points))
    model_curve(best, features, power, grid, wavelengths, weights, broad, curve, slopes)
    cost, plain = _cost(best, home, spread, curve, measured, noise, bound)
    damping = 1e-2
    for _ in range(rounds):
        normal, gradient = np.zeros((n, n)), np.zeros(n)
        for x in range(points):
            g = np.sqrt(curve[x] + noise)
            rest = measured[x] - (g - root)
            factor = 0.5 / g
            for a in range(n):
                s = slopes[a, x] * factor
                if s == 0.0:
                    continue
                gradient[a] += s * rest
                for b in range(a + 1):
                    normal[a, b] += s * slopes[b, x] * factor
        for a in range(n):
            gradient[a] += bound * (home[a] - best[a]) / spread[a] ** 2
            normal[a, a] += bound / spread[a] ** 2
            for b in range(a):
                normal[b, a] = normal[a, b]
        better = False
        gain = 0.0
        for _try in range(6):
            damped = normal.copy()
            for a in range(n):
                damped[a, a] *= 1 + damping
                damped[a, a] += 1e-12
            trial = best + np.linalg.solve(damped, gradient)
            model_curve(trial, features, power, grid, wavelengths, weights, broad, trial_curve, trial_slopes)
            trial_cost, trial_plain = _cost(trial, home, spread, trial_curve, measured, noise, bound)
            if trial_cost < cost:
                gain = (cost - trial_cost) / cost
                best, cost, plain = trial, trial_cost, trial_plain
                curve[:] = trial_curve
                slopes[:] = trial_slopes
                damping = max(damping * 0.2, 1e-6)
                better = True
                break
            damping *= 6
        if not better or gain < 1e-3:
            break
    return best, plain


@njit(cache=True, nogil=True)
def _cost(
    p: FloatArray, home: FloatArray, spread: FloatArray, curve: FloatArray, measured: FloatArray, noise: float, bound: float
) -> tuple[float, float]:
    root, total, soft = np.sqrt(noise), 0.0, 0.0
    for x in range(len(curve)):
        total += (measured[x] - np.sqrt(max(curve[x], 0.0) + noise) + root) ** 2
    for a in range(len(p)):
        soft += ((p[a] - home[a]) / spread[a]) ** 2
    return total + bound * soft, total


@njit(cache=True, nogil=True)
def scan(
    trials: FloatArray, features: FloatArray, power: FloatArray, grid: FloatArray, measured: FloatArray, noise: float,
    wavelength: float, b_iso: float, kernel: FloatArray,
) -> FloatArray:  # fmt: skip
    """(S,) cosine between g of the measured and of the computed curve, both on a coarse grid, for cells (S, P).

    The computed curve is a histogram of lines, smoothed by `kernel`, so that thousands of cells take a second.
    """
    points = len(grid)
    step, first = grid[1] - grid[0], grid[0]
    out = np.zeros(len(trials))
    length = np.sqrt((measured * measured).sum())
    root = np.sqrt(noise)
    reach = len(kernel) // 2
    for s in range(len(trials)):
        bins = np.zeros(points)
        for line in range(len(power)):
            q = 0.0
            for k in range(features.shape[1]):
                q += trials[s, k] * features[line, k]
            if q <= 0:
                continue
            sine = np.sqrt(q) * wavelength / 2
            if sine >= 0.999:
                continue
            theta = np.arcsin(sine)
            place = (theta * 360 / np.pi - first) / step
            x = int(np.floor(place))
            if x < 0 or x + 1 >= points:
                continue
            cosine = np.sqrt(1 - sine * sine)
            area = power[line] * (1 + np.cos(2 * theta) ** 2) / (sine * sine * cosine) * np.exp(-b_iso * q / 2)
            bins[x] += area * (x + 1 - place)
            bins[x + 1] += area * (place - x)
        smooth = np.zeros(points)
        for x in range(points):
            if bins[x] == 0.0:
                continue
            for m in range(-reach, reach + 1):
                if 0 <= x + m < points:
                    smooth[x + m] += bins[x] * kernel[m + reach]
        top = smooth.max()
        if top <= 0:
            continue
        dot, norm = 0.0, 0.0
        for x in range(points):
            g = np.sqrt(smooth[x] / top + noise) - root
            dot += g * measured[x]
            norm += g * g
        out[s] = dot / (np.sqrt(norm) * length)
    return out


def fit_cell(
    model: CellModel, target: Target, starts: Sequence[FloatArray] | None = None, *, finished: int = 2, seed: int = 0
) -> Fitted | None:
    """The best fit of a candidate from `starts` (those of a scan where None); None where it has no line in the pattern.

    Every start is refined with broadened lines; the best `finished` of them are refined on with lines of their own width.
    """
    if starts is None:
        starts = [p for _, p in scan_cells(model, target, seed=seed)]
    measured = target.stable(target.net)
    square = float((measured**2).sum())
    rough = [_roughly(model, target, p, square) for p in starts]
    rough = sorted((found for found in rough if np.isfinite(found[0])), key=lambda found: found[0])
    tries = [_finally(model, target, p, measured, square) for _, p in rough[:finished]]
    tries = [found for found in tries if np.isfinite(found[0])]
    if not tries:
        return None
    cost, parameters, curve = min(tries, key=lambda found: found[0])
    weight = 1 / (target.net + target.noise)
    rwp = np.sqrt((weight * (target.net - curve) ** 2).sum() / (weight * target.net**2).sum())
    crystal = model.with_cell(parameters[: len(model.start)])
    return Fitted(crystal, parameters, curve, float(np.sqrt(cost / square)), float(rwp))


def scan_cells(model: CellModel, target: Target, *, seed: int = 0, thorough: float = 1.0) -> list[tuple[float, FloatArray]]:
    """(cosine, coefficients) of the best cells of a coarse scan around the candidate's own, the best first; empty where no
    line falls into the pattern."""
    rng = np.random.default_rng(seed)
    n = len(model.start)
    count = int(TRIALS * n * thorough)
    changes = rng.uniform(0, SHAPE, (count, 1)) * rng.standard_normal((count, n))
    changes[:, 0] = np.linspace(-VOLUME, VOLUME, count)
    trials = np.concatenate([model.start[None], model.start + changes])
    cosines = _scanned(model, target, trials, ROUNDS[0][0])
    if cosines.max() <= 0:
        return []
    for broad, spread, kept, apart in ROUNDS[1:]:
        parents = trials[_distinct(trials, cosines, int(kept * np.sqrt(thorough)), apart)]
        children = spread * rng.standard_normal((len(parents), int(CHILDREN * np.sqrt(n * thorough)), n))
        trials = np.concatenate([parents, (parents[:, None] + children).reshape(-1, n)])
        cosines = _scanned(model, target, trials, broad)
    return [(float(cosines[k]), trials[k]) for k in _distinct(trials, cosines, int(STARTS * thorough), LAST_APART)]


def _scanned(model: CellModel, target: Target, trials: FloatArray, broad: float) -> FloatArray:
    kernel = gaussian(float(np.hypot(broad, target.width)), COARSE_STEP)
    wavelength = float(target.wavelengths @ target.weights)
    features, power = model.features[:SCANNED_LINES], model.power[:SCANNED_LINES]
    measured = target.smoothed(broad)
    b_iso = float(CENTRES[-1])
    return np.asarray(scan(trials, features, power, target.coarse, measured, target.noise, wavelength, b_iso, kernel))


def _distinct(trials: FloatArray, cosines: FloatArray, count: int, apart: float) -> list[int]:
    """The best cells that are at least `apart` from each other."""
    found: list[int] = []
    for k in np.argsort(-cosines, kind="stable"):
        if all(np.abs(trials[k] - trials[other]).max() > apart for other in found):
            found.append(int(k))
            if len(found) == count:
                break
    return found


def _roughly(model: CellModel, target: Target, p: FloatArray, square: float) -> tuple[float, FloatArray]:
    """(cost, parameters) of coefficients (P,) refined with lines that are broadened by BROADENED degrees."""
    n = len(model.start)
    start = np.concatenate([p, CENTRES])
    start[n + 2], start[n + 3] = np.log(target.width), 0.05
    curve, slopes = np.empty(len(target.grid)), np.empty((n + OTHERS, len(target.grid)))
    model_curve(
        start, model.features, model.power, target.grid, target.wavelengths, target.weights, 0.0, curve, slopes
    )  # fmt: skip
    start[n + 1] = np.log(max(target.net.sum(), 1e-9) / max(curve.sum(), 1e-9))
    aim = target.stable(np.convolve(target.net, gaussian(BROADENED, STEP), mode="same"))
    found, cost = _steps(model, target, start, start[n + 1], aim, BROADENED, 6, square, curve)
    return cost, found


def _finally(
    model: CellModel, target: Target, start: FloatArray, measured: FloatArray, square: float
) -> tuple[float, FloatArray, FloatArray]:
    """(cost, parameters, curve) refined on with lines of their own width."""
    curve = np.empty(len(target.grid))
    found, cost = _steps(model, target, start, start[len(model.start) + 1], measured, 0.0, 12, square, curve)
    return cost, found, curve


def _steps(
    model: CellModel, target: Target, start: FloatArray, log_scale: float, aim: FloatArray, broad: float, rounds: int,
    square: float, curve: FloatArray,
) -> tuple[FloatArray, float]:  # fmt: skip
    """(parameters, cost) of Levenberg-Marquardt from all parameters `start`; `curve` is filled."""
    n = len(model.start)
    home = np.concatenate([model.start, CENTRES])
    home[n + 1], home[n + 2] = log_scale, np.log(target.width)
    spread = np.concatenate([np.full(n, STRAIN), SPREADS])
    return refine(
        start, home, spread, model.features, model.power, target.grid, aim, target.noise, target.wavelengths, target.weights,
        broad, rounds, BOUND * square, curve,
    )  # fmt: skip
