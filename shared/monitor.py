"""The Celery app for Celery's own tools, which need a module: `celery -A shared.monitor flower` (or `inspect active`,
`report`; `events` after `control enable_events`). Settings are the CAMQ_* variables; it has no tasks and works on
nothing."""

from shared.broker import make_app
from shared.config import Settings

app = make_app(Settings.load())
