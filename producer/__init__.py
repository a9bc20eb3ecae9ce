"""Turns pictures into a tracked job, and the job's results into Python objects.

    from producer import Client

The names below are loaded when they are first used, so that `import producer` costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from producer.api.client import Client, ImageResult, Job, Prediction

__all__ = ["Client", "ImageResult", "Job", "Prediction"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from producer.api import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
