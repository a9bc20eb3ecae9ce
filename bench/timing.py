"""How things are timed: sides of a comparison take turns, so that a slow minute slows all of them."""

import time
from collections.abc import Callable, Mapping


def interleave(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """`rounds` samples of each side. Every round runs all sides; every other round in reverse order, so that
    no side always follows the same neighbour."""
    samples: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        names = list(sides) if number % 2 == 0 else list(reversed(sides))
        for name in names:
            samples[name].append(sides[name]())
    return samples


def rate(work: Callable[[], int], at_least_s: float) -> float:
    """Things per second: repeats `work`, which returns their number, for at least `at_least_s` seconds."""
    done = 0
    started = time.perf_counter()
    while True:
        done += work()
        elapsed = time.perf_counter() - started
        if elapsed >= at_least_s:
            return done / elapsed


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
