"""The Celery app for Celery's own tools, which need a module name.

Use it as `celery -A shared.celery_app flower`, `inspect active` or `report` (`events` needs `control enable_events`
first). Settings are the CAMQ_* variables. The app has no tasks and processes none.
"""

from shared import logs
from shared.broker import make_app
from shared.config import Settings

_settings = Settings.load()
if _settings.log_format == "json":
    logs.configure(_settings)  # before Flower, which leaves a log alone that is set up
app = make_app(_settings)
