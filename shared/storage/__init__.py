"""The object store: the port, its S3 adapter, and the memory adapter that tests declare."""

from shared.storage.memory import MemoryStore
from shared.storage.port import SCHEME, ObjectStore, Stat
from shared.storage.s3 import S3Store

__all__ = ["SCHEME", "MemoryStore", "ObjectStore", "S3Store", "Stat"]
