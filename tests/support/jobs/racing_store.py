"""A store for tests of what happens at one moment."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from shared.storage import MemoryStore

LONG_AGO = datetime.now(UTC) - timedelta(days=9)


class RacingStore(MemoryStore):
    """A declared test adapter: the memory store, which lets something happen right before objects are deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.ensure_bucket()
        self.meanwhile: Callable[[], None] | None = None

    def delete(self, keys: Iterable[str]) -> None:
        doomed = list(keys)
        if self.meanwhile and doomed:
            happens, self.meanwhile = self.meanwhile, None
            happens()
        super().delete(doomed)

    def make_old(self) -> None:
        objects = self.buckets[self.bucket]
        objects.update({key: (data, LONG_AGO) for key, (data, _) in objects.items()})
