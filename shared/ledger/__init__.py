"""The job ledger: the truth about every job, chunk and image; a Celery message is only a hint.

`RedisLedger` is all of it over one connection pool: the producer's side (`jobs`, `submission`, `deletions`), the
worker's side, the registry of workers and models, and the webhooks that are due.
"""

from contextlib import closing

from shared.ledger.deletions import RedisDeletions
from shared.ledger.producer_side import RedisJobs
from shared.ledger.registry import RedisRegistry
from shared.ledger.scripts import connect
from shared.ledger.submission import RedisSubmission
from shared.ledger.values import Claim, Done, Hint, NewChunk, Reaped, Refusal, WebhookCall
from shared.ledger.webhooks import RedisWebhooks
from shared.ledger.worker_side import RedisFlow

__all__ = ["Claim", "Done", "Hint", "NewChunk", "Reaped", "RedisLedger", "Refusal", "WebhookCall"]


class RedisLedger(RedisJobs, RedisSubmission, RedisDeletions, RedisFlow, RedisRegistry, RedisWebhooks):
    """All sides over one connection pool. Safe to use from many threads."""

    def check(self) -> None:
        """Raises UnreachableError unless Redis answers."""
        with self.scripts.translated(), closing(connect(self.settings, tries=1, timeout_s=4)) as probe:
            probe.ping()

    def close(self) -> None:
        """Closes every connection."""
        self.scripts.client.close()
