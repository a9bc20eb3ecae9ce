"""Checks at the end that every image has one result, equal to that of a run without faults."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from producer.results import records as results
from shared import keys
from shared.contract import ImageRecord
from shared.ledger import RedisLedger
from shared.storage import S3Store

TOLERANCE = 1e-5
READERS = 8


def problems_of(ledger: RedisLedger, store: S3Store, jobs: dict[str, str]) -> Iterator[str]:
    """Compare each job with its reference job; yields a sentence for each difference."""
    for job, reference in jobs.items():
        yield from (f"{job}: {fault}" for fault in _counters(ledger, job, ledger.status(reference).total))
        yield from (f"{job}: {fault}" for fault in _answers(ledger, store, job, reference))
        yield from (f"{job}: {fault}" for fault in _overlays(store, job, reference))
    client = ledger.scripts.client
    yield from (f"no TTL: {key}" for key in client.keys(keys.PREFIX + "*") if _forever(client, key))


def _forever(client: Any, key: str) -> bool:
    # The broker library's own keys do not begin like ours.
    return bool(client.ttl(key) == -1)


def _counters(ledger: RedisLedger, job: str, expected: int) -> Iterator[str]:
    status = ledger.status(job)
    if status.total != expected:
        yield f"{status.total} of {expected} images are registered"
    if not status.state.finished or status.succeeded + status.failed + status.cancelled != status.total:
        yield f"lost images: {status}"
    if status.cancelled:
        yield f"{status.cancelled} images are cancelled, although none was to be"
    counted = Counter(state.value for state in ledger.image_states(job))
    if (counted["succeeded"], counted["failed"]) != (status.succeeded, status.failed):
        yield f"the counters say {status.succeeded} and {status.failed}, the images {dict(counted)}"


def differs_from(expected: dict[str, ImageRecord]) -> Callable[[ImageRecord], str | None]:
    """What is wrong with a result, None if nothing is, by those of a run without faults."""
    return lambda line: _differs(line, expected[_name(line)])


def expected_of(ledger: RedisLedger, store: S3Store, references: Iterable[str]) -> dict[str, ImageRecord]:
    """The results of these jobs by the names of their pictures."""
    return {_name(line): line for job in references for line in results.records(ledger, store, job)}


def _answers(ledger: RedisLedger, store: S3Store, job: str, reference: str) -> Iterator[str]:
    expected = expected_of(ledger, store, [reference])
    found = list(results.records(ledger, store, job))
    names = Counter(map(_name, found))
    if names.keys() != expected.keys() or max(names.values(), default=1) > 1:
        yield f"{len(names)} different results in {len(found)} lines, and {len(expected)} were expected"
    for line in found:
        if (reason := _differs(line, expected[_name(line)])) is not None:
            yield f"image {line.index}: {reason}"


def _name(line: ImageRecord) -> str:
    return Path(line.source).name


def _differs(line: ImageRecord, expected: ImageRecord) -> str | None:
    code = line.error.code if line.error else None
    if (line.state, code) != (expected.state, expected.error.code if expected.error else None):
        return f"it ended {line.state} ({line.error}) instead of {expected.state}"
    classes = [found.class_index for found in line.predictions]
    if classes != [found.class_index for found in expected.predictions]:
        return f"its classes are {classes}"
    for mine, other in zip(line.predictions, expected.predictions, strict=True):
        for number in ("probability", "map_min", "map_max"):
            a, b = getattr(mine, number), getattr(other, number)
            if abs(a - b) > TOLERANCE * max(1.0, abs(b)):
                return f"{number} is {a} instead of {b}"
        if mine.box != other.box:
            return f"its box is {mine.box} instead of {other.box}"
    return None


def _overlays(store: S3Store, job: str, reference: str) -> Iterator[str]:
    mine, expected = _digests(store, job), _digests(store, reference)
    if mine.keys() != expected.keys():
        yield f"{len(mine)} overlays instead of {len(expected)}: {sorted(mine.keys() ^ expected.keys())[:5]}"
    different = [name for name in mine.keys() & expected.keys() if mine[name] != expected[name]]
    if different:
        yield f"{len(different)} overlays differ from those of the run without faults: {sorted(different)[:5]}"


def _digests(store: S3Store, job: str) -> dict[str, str]:
    prefix = keys.job_prefix(job) + "overlays/"
    names = [key for key, _ in store.list(prefix)]
    with ThreadPoolExecutor(READERS) as pool:
        digests = list(pool.map(lambda key: hashlib.sha256(store.get(key)).hexdigest(), names))
    return {key.removeprefix(prefix): digest for key, digest in zip(names, digests, strict=True)}
