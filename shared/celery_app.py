"""The Celery app for Celery's own tools, which need a module name.

Use it as `celery -A shared.celery_app flower`, `inspect active` or `report` (`events` needs `control enable_events`
first). Settings are the CAMQ_* variables. The app has no tasks and processes none.
"""

from shared.broker import make_app
from shared.config import Settings

app = make_app(Settings.load())
