"""int8 number formats: how activations, weights, tables and KV caches are rounded, and how their scales are chosen.

Shapes: N tokens, I inputs and O outputs of a linear layer.
"""

from dataclasses import dataclass

import numpy as np

WEIGHT_LEVELS = 64  # on either side of zero
CACHE_LEVELS = TABLE_LEVELS = 127  # on either side of zero
ACTIVATION_LEVELS = 255
SAMPLE = 50_000  # largest number of values that a range is chosen from
SHRINK = np.linspace(1.0, 0.4, 25)  # ranges tried, as shares of the full one


@dataclass(frozen=True)
class ActivationScale:
    """Activations as uint8: real value = scale * (quantised - zero_point)."""

    scale: float
    zero_point: int

    @staticmethod
    def of(values: np.ndarray) -> "ActivationScale":
        """Return the scale with the least squared error on the values; its range may clip outliers."""
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 1e-6)
        tried = (ActivationScale.of_range(low * share, high * share) for share in SHRINK)
        return min(tried, key=lambda scale: scale.error(values))

    @staticmethod
    def of_range(low: float, high: float) -> "ActivationScale":
        scale = (high - low) / ACTIVATION_LEVELS
        return ActivationScale(scale, round(-low / scale))

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """Return the values after quantising and dequantising."""
        quantised = np.clip(np.round(values / self.scale) + self.zero_point, 0, ACTIVATION_LEVELS)
        rounded: np.ndarray = (quantised - self.zero_point) * self.scale
        return rounded

    def error(self, values: np.ndarray) -> float:
        """Return the mean squared error of quantising and dequantising the values."""
        return float(np.square(self.rounded(values) - values).mean())


def column_scales(values: np.ndarray, levels: int) -> np.ndarray:
    """Return a scale per column, values (N, O) -> (O,), for `levels` on either side of zero.

    A column's range is clipped where that lowers its squared error.
    """
    peak = np.maximum(np.abs(values).max(axis=0), 1e-8)  # (O,)
    best, least = peak / levels, np.full(peak.shape, np.inf)
    for share in SHRINK[:13]:
        scale = peak * share / levels
        rounded = np.clip(np.round(values / scale), -levels, levels) * scale
        error = np.square(rounded - values).sum(axis=0)
        best, least = np.where(error < least, scale, best), np.minimum(error, least)
    scales: np.ndarray = best.astype(np.float32)
    return scales


def quantised_weight(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantise weight (I, O) to int8 (I, O) with a scale per column (O,)."""
    scale = column_scales(weight, WEIGHT_LEVELS)
    quantised = np.clip(np.round(weight / scale), -WEIGHT_LEVELS, WEIGHT_LEVELS)
    return np.ascontiguousarray(quantised.astype(np.int8)), scale


def quantised_table(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantise table (rows, D) to int8 (rows, D) with one scale (), clipped where that lowers the squared error."""
    sample = table.ravel()[:: max(1, table.size // SAMPLE)]
    scale = column_scales(np.append(sample, [table.min(), table.max()])[:, None], TABLE_LEVELS)[0]
    return np.clip(np.round(table / scale), -TABLE_LEVELS, TABLE_LEVELS).astype(np.int8), np.array(scale)
