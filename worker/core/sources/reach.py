"""Whether the host of published weights answers, found out soon. For torchvision's host and for the hub."""

import socket
import threading
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from shared.errors import ModelError


def reach(url: str, timeout_s: float, *, refusals: bool = True) -> None:
    """Ask for the headers of a file. In a thread, since a name lookup obeys no timeout of ours.

    Raises ModelError where its host cannot be found or does not answer within `timeout_s` seconds and, with `refusals`,
    where it refuses the file.
    """
    failures: list[Exception] = [TimeoutError()]

    def ask() -> None:
        try:
            with urlopen(Request(url, method="HEAD"), timeout=timeout_s):  # noqa: S310 -- published https addresses
                failures.clear()
        except (OSError, ValueError) as error:
            failures.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not failures or (not refusals and isinstance(failures[-1], HTTPError)):
        return
    host, reason = urlsplit(url).hostname, getattr(failures[-1], "reason", failures[-1])
    if isinstance(reason, socket.gaierror):
        raise ModelError(f"this machine finds no host {host}: the network is away, or names are not resolved")
    if isinstance(reason, TimeoutError):  # whichever clock was the first
        reason = f"no answer within {timeout_s:g} s"
    raise ModelError(f"the host {host} gives no file: {reason}")
