"""A lone picture, for which somebody may wait: its files are written at once, its overlays travel with its answer."""

from collections.abc import Callable
from concurrent.futures import Executor, Future

from shared.contract import Answer
from shared.ledger import Claim

#: Bytes of a result, and of it with its overlays, that travel: those of five classes, 512 pixels wide. More are left to
#: storage.
MOST_SENT = 1 << 18
#: Writes an object: key, bytes, content type.
Put = Callable[[str, bytes, str], None]


def is_lone(claim: Claim) -> bool:
    """Whether the claim is for one urgent picture, whose files go to camq's own bucket."""
    return claim.priority == "high" and len(claim.indices) == 1 and not claim.quarantine and not claim.options.output


class Lone:
    """Made for each such claim."""

    def __init__(self, pool: Executor, put: Put) -> None:
        self._pool = pool
        self._put = put
        self._writes: list[Future[None]] = []
        self._overlays: dict[str, bytes] = {}

    def write(self, key: str, data: bytes, content_type: str) -> None:
        """Begin to write it."""
        self._writes.append(self._pool.submit(self._put, key, data, content_type))

    def drawn(self, key: str, data: bytes) -> None:
        """Keep an overlay for the answer."""
        self._overlays[key] = data

    def written(self) -> None:
        """Returns once all is stored; raises what the first that failed raised."""
        for write in self._writes:
            write.result()

    def answer(self, claim: Claim, lines: bytes) -> Answer | None:
        """With the results object, if it may travel, and the overlays if they may."""
        if len(lines) > MOST_SENT:
            return None
        size = len(lines) + sum(map(len, self._overlays.values()))
        return Answer(claim.token, lines, self._overlays if size <= MOST_SENT else {})
