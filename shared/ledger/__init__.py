"""The job ledger: the truth about every job, chunk and image; a Celery message is only a hint.

Four ports, one per reader: `Jobs` (a producer's side), `Flow` (a worker's side), `Registry` (who serves what),
`Webhooks` (who is told of an end). `RedisLedger` is all of them over one connection pool.
"""

from shared.ledger.redis_ledger import RedisLedger
from shared.ledger.values import (
    Claim,
    Done,
    Flow,
    Hint,
    Jobs,
    NewChunk,
    Reaped,
    Refusal,
    Registry,
    WebhookCall,
    Webhooks,
)

__all__ = [
    "Claim",
    "Done",
    "Flow",
    "Hint",
    "Jobs",
    "NewChunk",
    "Reaped",
    "RedisLedger",
    "Refusal",
    "Registry",
    "WebhookCall",
    "Webhooks",
]
