"""`python -m worker …`: the worker process, and what can be asked of it beforehand."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what takes time to import is imported where `KeyboardInterrupt` shows no traceback
    from shared.config import Settings

USAGE = "usage: python -m worker [serve | fleet | exporter | check | fetch MODEL | inspect FILE [MODEL] | quarantine]"


def main(arguments: list[str]) -> int:
    """Exit status: 0, or the error's own (2 usage, 4 a service is unreachable, 5 the model cannot be loaded)."""
    from shared.config import Settings
    from shared.errors import CamqError
    from shared.text import visible_lines

    name, *rest = arguments or ["serve"]
    commands = {"serve": _serve, "fleet": _fleet, "exporter": _exporter, "check": _check, "quarantine": _quarantine}
    settings = None
    try:
        if name == "fetch" and len(rest) == 1:
            return _fetch(rest[0])
        if name == "inspect" and len(rest) in (1, 2):
            return _inspect(*rest)
        if name in commands and not rest:
            settings = Settings.load()
            return commands[name](settings)
    except CamqError as error:
        if settings and settings.log_format == "json":
            import structlog

            _configure_logs(settings)
            structlog.get_logger().critical("cannot run", reason=str(error), exit_status=error.exit_code)
            return error.exit_code
        print(f"camq worker: {visible_lines(str(error))}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    print(USAGE, file=sys.stderr)  # noqa: T201
    return 2


def _configure_logs(settings: Settings) -> None:
    from shared import logs

    logs.configure(settings)


def _serve(settings: Settings) -> int:
    _configure_logs(settings)
    from worker.devices.slots import claimed

    warn_of_memory(settings)
    with claimed(settings) as slot:  # before torch is imported, which looks for devices only once
        from worker.app import serve  # torch takes seconds to import; a wrong setting is reported before

        return serve(settings, slot.gpu.uuid if slot else None)


def warn_of_memory(settings: Settings) -> None:
    """Before torch is imported, which alone may be too much: then this line is the log's last."""
    import structlog

    from worker.core.types import InputSpec, Limits
    from worker.devices.container import cores, shortage
    from worker.pictures.wire import Setup

    setup = Setup(InputSpec(), Limits(settings.max_image_bytes, settings.max_image_pixels), settings.decode_s)
    if short := shortage(settings.picture_processes or cores(), setup.memory):
        structlog.get_logger().warning("memory is short", reason=short)


def _fleet(settings: Settings) -> int:
    _configure_logs(settings)
    from worker.devices.launcher import serve

    return serve(settings)


def _exporter(settings: Settings) -> int:
    _configure_logs(settings)
    from worker.observe.exporter import serve

    return serve(settings)


def _quarantine(settings: Settings) -> int:
    _configure_logs(settings)
    from worker.chunk.quarantine_child import serve

    return serve(settings)


def _check(settings: Settings) -> int:
    from worker.check import check

    report = check(settings)
    print(report.json())  # noqa: T201
    return 0 if report.ok else 5


def _inspect(file: str, model: str | None = None) -> int:
    import msgspec

    from shared.config import Settings
    from worker.models.inspection import inspect

    print(msgspec.json.encode(inspect(file, model, Settings.load())).decode())  # noqa: T201
    return 0


def _fetch(name: str) -> int:
    from shared.errors import UsageError
    from worker.core.model.published import Torchvision, architecture, fetch

    source = architecture(name, None)
    path = fetch(name) if isinstance(source, Torchvision) else source.published()
    if path is None:
        raise UsageError(
            f"{name} is your own code, which has no published weights to fetch: start its worker with --weights FILE"
        )
    print(path)  # noqa: T201
    return 0


if __name__ == "__main__":
    try:
        status = main(sys.argv[1:])
    except KeyboardInterrupt:  # while torch is imported or the model is loaded; later signals end the work in order
        name = (sys.argv[1:] or ["serve"])[0]
        serves = name in ("serve", "fleet", "quarantine")
        said = "stopped before it was ready; it had no work in hand" if serves else f"{name} was interrupted"
        print(f"camq worker: {said}", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(130)  # torch has things to say at an ordinary exit
    sys.exit(status)
