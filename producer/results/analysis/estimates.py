"""A mean over images, and how far the images leave it open."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from statistics import NormalDist

import msgspec

#: Of 100 jobs with other pictures of the same kind, so many would have a mean within its interval.
CONFIDENCE = 0.95
#: Samples drawn with replacement from the images' numbers.
RESAMPLES = 1000
#: Of more images the mean of a sample is normally distributed, and drawing samples would only take longer.
MOST_RESAMPLED = 1000


class Estimate(msgspec.Struct, frozen=True):
    """The mean over the images, and its 95% confidence interval."""

    mean: float
    low: float
    high: float


def estimate(values: Sequence[float]) -> Estimate | None:
    """The mean, and where the means of samples of the values lie (percentile bootstrap, always the same samples)."""
    size = len(values)
    if not size:
        return None
    if size == 1 or size > MOST_RESAMPLED:
        return normal(values)
    mean = math.fsum(values) / size
    means = sorted(sum(taken(values)) / size for taken in _samples(size))
    outside = round(RESAMPLES * (1 - CONFIDENCE) / 2)
    return Estimate(mean, min(mean, means[outside]), max(mean, means[-1 - outside]))


@lru_cache(maxsize=4)
def _samples(size: int) -> list[Callable[[Sequence[float]], tuple[float, ...]]]:
    """So many of so many places, drawn with replacement, by what takes the values there: at C's speed."""
    draw = random.Random(0).choices  # noqa: S311 - no secret depends on it
    return [itemgetter(*draw(range(size), k=size)) for _ in range(RESAMPLES)]


def normal(values: Sequence[float]) -> Estimate:
    """The mean, with 1.96 standard errors to each side; none of one value alone."""
    size = len(values)
    mean = math.fsum(values) / size
    spread = math.fsum((value - mean) ** 2 for value in values) / max(1, size - 1)
    reach = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * math.sqrt(spread / size)
    return Estimate(mean, mean - reach, mean + reach)


def is_noise(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether the differences of the same images' numbers may well have a mean of zero."""
    found = estimate([first - second for first, second in zip(one, other, strict=False)])
    return found is None or found.low <= 0 <= found.high
