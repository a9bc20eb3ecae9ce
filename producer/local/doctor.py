"""What `camq doctor` looks at: each part of a working camq, and what to do where it is not."""

import json
import platform
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from producer.local.session import worker_command, worker_environment
from producer.services import Services
from shared.config import Settings, redis_address
from shared.errors import CamqError, UnreachableError

#: Loading torch and a model takes seconds on a slow disk, never minutes.
_LOOK_AT_WORKER_S = 120
_LIBRARIES = ("camq", "celery", "kombu", "redis", "minio", "msgspec")
_LOAD = "load the settings of `camq up`, in its folder: set -a; . camq-data/camq.env; set +a; or "
_REMEDIES = {
    "redis": f"{_LOAD}start one (`camq up`, or `docker compose up redis`) and set CAMQ_REDIS_URL",
    "storage": f"{_LOAD}start one, and set CAMQ_S3_ENDPOINT, CAMQ_S3_ACCESS_KEY, CAMQ_S3_SECRET_KEY, CAMQ_BUCKET",
    "workers": "start one: camq worker",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One line. `remedy` is None where all is well, and where `detail` ends with it; `exit_status` is what the fault
    makes the command end with."""

    name: str
    ok: bool
    detail: str
    remedy: str | None = None
    exit_status: int = 0


def examine(settings: Settings) -> Iterator[Check]:
    """Every check as soon as it is made, in the order in which faults are best mended."""
    with Services(settings) as reach:
        yield _versions()
        redis = _service("redis", lambda: _redis(reach))
        yield redis
        yield _service("storage", lambda: _storage(reach))
        # Not asked twice of a Redis that is silent: each time takes seconds.
        away = Check("workers", False, "unknown while Redis is down", exit_status=redis.exit_status)
        yield _service("workers", lambda: _workers(reach)) if redis.ok else away
        yield from _worker_side(settings)


def exit_status(checks: Iterable[Check]) -> int:
    """0 when all is well, 4 when a service is away, else 5."""
    faults = {check.exit_status for check in checks if not check.ok}
    return 4 if 4 in faults else max(faults, default=0)


def _versions() -> Check:
    found = ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES)
    return Check("versions", True, f"Python {platform.python_version()}, {found}")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _service(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except CamqError as error:
        away = isinstance(error, UnreachableError)
        reason = str(error).partition("\n")[0]  # without the remedy for those who loaded no settings
        # A server that answers and refuses need not be started, and its refusal says what to change.
        return Check(name, False, reason, _REMEDIES[name] if away else None, 4 if away else 5)


def _redis(reach: Services) -> str:
    reach.ledger.check()
    reach.ledger.scripts.try_rights()
    return f"answers at {redis_address(reach.settings)}"


def _storage(reach: Services) -> str:
    reach.store.check()
    return f"bucket {reach.settings.bucket!r} at {reach.settings.s3_endpoint}"


def _workers(reach: Services) -> str:
    """No worker is no fault of this machine: jobs wait for one."""
    found = reach.ledger.workers()
    models = sorted({model for worker in found for model in worker.models})
    if not models:
        return f"{len(found)} alive; {_REMEDIES['workers']}"
    return f"{len(found)} alive, serving {', '.join(models)}"


def _worker_side(settings: Settings) -> list[Check]:
    """Device and weights, as a worker here would find them; a machine that only submits needs neither."""
    if find_spec("torch") is None:
        return [Check("weights", True, "no torch here: submitting works; for a worker: pip install 'camq[worker]'")]
    try:
        done = subprocess.run(
            worker_command("check"),
            env=worker_environment(settings),
            capture_output=True,
            text=True,
            timeout=_LOOK_AT_WORKER_S,
            check=False,
        )
        report = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return [Check("weights", False, f"no answer within {_LOOK_AT_WORKER_S} s", "run `python -m worker check`", 5)]
    except ValueError:
        reason = done.stderr.strip().splitlines()[-1:] or ["no answer"]
        return [Check("weights", False, reason[0], "run `python -m worker check` and read its error", 5)]
    libraries = f"torch {report['torch']}, torchvision {report['torchvision']}"
    if report["error"]:
        device = Check("device", report["device"] is not None, f"{report['device'] or 'not checked'} ({libraries})")
        if settings.model or settings.weights:
            return [device, Check("weights", False, report["error"], _weights_remedy(report["name"]), 5)]
        # Nobody asked for a model: submitting works, and a worker here may be given another.
        asked = f"CAMQ_MODEL is not set, and the default, {report['name']}, cannot be served here"
        return [device, Check("weights", True, f"{asked}: {report['error'].partition('. ')[0]}")]
    return [
        Check("device", True, f"{report['device']} ({libraries})"),
        Check("weights", True, f"{report['name']} loads as {report['model']} and runs ({report['engine']})"),
    ]


def _weights_remedy(name: str) -> str:
    return f"set CAMQ_WEIGHTS to a file, or start `camq worker --model {name}` once with internet access"
