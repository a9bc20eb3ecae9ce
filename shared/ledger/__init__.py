"""The job ledger: the truth about every job, chunk and image; a Celery message is only a hint.

`RedisLedger` is all of it over one connection pool: the producer's side (`jobs`, `submission`, `deletions`), the
worker's side, the registry of workers and models, and the webhooks that are due.
"""

from shared.ledger.redis_ledger import RedisLedger
from shared.ledger.values import Claim, Done, Hint, NewChunk, Reaped, Refusal, WebhookCall

__all__ = ["Claim", "Done", "Hint", "NewChunk", "Reaped", "RedisLedger", "Refusal", "WebhookCall"]
