"""The Celery app, beside others in one process."""

from contextlib import closing

from celery import Celery
from kombu import pools

from shared.broker import make_app
from shared.config import Settings


def test_an_applications_own_celery_app_works_beside_ours() -> None:
    """kombu has one limit for all pools of a process, and refuses to lower it while one is in use."""
    with closing(make_app(Settings(redis_url="memory://"))) as ours, closing(Celery(broker="memory://")) as theirs:
        for app in (ours, theirs, ours):
            with app.producer_or_acquire():
                assert pools.get_limit() == app.conf.broker_pool_limit
