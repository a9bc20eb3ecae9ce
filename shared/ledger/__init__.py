"""The job ledger: the truth about every job, chunk and image; a Celery message is only a hint.

Three ports, one per reader: `Jobs` (a producer's side), `Flow` (a worker's side), `Registry` (who serves what).
`RedisLedger` is all three over one connection pool.
"""

from shared.ledger.ports import Claim, Done, Flow, Hint, Jobs, NewChunk, Reaped, Refusal, Registry
from shared.ledger.redis_ledger import RedisLedger

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
]
