"""The object store: the port, its S3 adapter, and the memory adapter that tests declare.

The adapters are loaded when they are first used: minio takes longer to import than `camq --help` may take.
"""

from typing import TYPE_CHECKING, Any

from shared.storage.port import SCHEME, ObjectStore, Stat

if TYPE_CHECKING:
    from shared.storage.memory import MemoryStore
    from shared.storage.s3 import S3Store

__all__ = ["SCHEME", "MemoryStore", "ObjectStore", "S3Store", "Stat"]


def __getattr__(name: str) -> Any:
    if name == "S3Store":
        from shared.storage.s3 import S3Store

        return S3Store
    if name == "MemoryStore":
        from shared.storage.memory import MemoryStore

        return MemoryStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
