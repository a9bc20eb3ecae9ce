"""Webhooks on their way: signed, allowed, tried again; received by the very code of the how-to page."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from threading import Event
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from shared.config import Settings
from shared.contract import JobState, JobStatus, WebhookStatus
from shared.errors import UnknownJobError, UsageError
from shared.ledger import WebhookCall
from tests.support.deployment.pages import ROOT, blocks
from tests.support.servers.answering import answering
from worker.upkeep.webhooks import LONGEST_WAIT_S, WebhookSender, wait_s, webhook_id

SECRET = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0"
PAGE = ROOT / "docs" / "how-to" / "webhooks.md"
STATUS = JobStatus(
    job="job", name="ä name", state=JobState.PARTIAL, sealed=True, total=3, queued=0, running=0, succeeded=2, failed=1,
    cancelled=0, created_at="2026-11-23T08:15:02.000Z", finished_at="2026-11-23T08:16:02.000Z", images_per_second=1.5,
    eta_s=None, model="net@0123456789ab", submission_interrupted=False,
    webhook=WebhookStatus(url="http://h/", state="waiting", attempts=1, reason=None),
)  # fmt: skip


class Ledger:
    """A declared test adapter: one webhook is due, and what is reported of it is remembered."""

    def __init__(self, url: str) -> None:
        self.due = [WebhookCall("job", url, "1795422906.280331", 1)]
        self.reports: list[str | None] = []
        self.answer = "waiting"
        self.gone = False

    def claim_webhook(self, lease_s: float) -> WebhookCall | None:
        with suppress(IndexError):
            return self.due.pop()
        return None

    def report_webhook(self, call: WebhookCall, fault: str | None, *, again_s: float, most_s: float) -> str:
        self.reports.append(fault)
        return self.answer if fault else "delivered"

    def status(self, job: str) -> JobStatus:
        if self.gone:
            raise UnknownJobError(job)
        return STATUS


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler], kind: type[HTTPServer] = HTTPServer) -> Iterator[str]:
    with answering(kind(("127.0.0.1", 0), handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}/hook?token=t0ken"


@dataclass
class Receiver:
    """What leads to it, and the ids that it took."""

    url: str
    seen: set[str]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """The page's receiver, listening."""
    monkeypatch.setenv("CAMQ_WEBHOOK_SECRET", SECRET)
    (code,) = [block.text for block in blocks(PAGE, "python") if "class Receiver" in block.text]
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(compile(code, str(PAGE), "exec"), names)
    with listening(names["Receiver"]) as url:
        yield Receiver(url, names["seen"])


def handler_of(status: int, **headers: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def send(ledger: Ledger, url: str, **changes: Any) -> Counter[str]:
    hosts = re.sub(r"https?://([^/]*)/.*", r"\1", url)
    settings = Settings(**{"webhook_hosts": hosts, "webhook_secret": SECRET} | changes)
    counted: Counter[str] = Counter()
    WebhookSender(ledger, settings, lambda outcome: counted.update([outcome])).send_due()
    return counted


def test_the_page_s_receiver_takes_what_is_sent_once(receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    """Its signature is right; the same end told twice counts once."""
    for _ in range(2):
        ledger = Ledger(receiver.url)
        counted = send(ledger, receiver.url)
        assert ledger.reports == [None]
        assert counted["delivered"] == 1

    assert receiver.seen == {"job-1795422906280331"}
    assert capsys.readouterr().out.count("job partial 2 1") == 1


def test_the_page_s_receiver_refuses_another_secret(receiver: Receiver) -> None:
    """Whoever does not know the secret cannot claim that a job has ended."""
    ledger = Ledger(receiver.url)
    counted = send(ledger, receiver.url, webhook_secret="b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXI=")

    assert ledger.reports == ["HTTP 401"]
    assert counted["retried"] == 1
    assert receiver.seen == set()


def test_the_body_is_the_final_status_and_its_type() -> None:
    """Every field of `camq status --json`."""
    bodies: list[bytes] = []

    class Keeps(handler_of(200)):  # type: ignore[misc]
        def do_POST(self) -> None:  # noqa: N802
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            super().do_POST()

    with listening(Keeps) as url:
        send(Ledger(url), url)

    assert json.loads(bodies[0]) == {"type": "job.finished", **msgspec.json.decode(msgspec.json.encode(STATUS))}


def test_a_redirect_is_not_followed() -> None:
    """It could lead anywhere."""
    with listening(handler_of(302, Location="http://127.0.0.1:1/")) as url:
        ledger = Ledger(url)
        send(ledger, url)

    assert ledger.reports == ["HTTP 302; redirects are not followed"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"webhook_hosts": ""}, "CAMQ_WEBHOOK_HOSTS"),
        ({"webhook_hosts": "127.0.0.1"}, "CAMQ_WEBHOOK_HOSTS"),
        ({"webhook_secret": ""}, "CAMQ_WEBHOOK_SECRET"),
    ],
)
def test_the_sender_allows_for_itself(changes: dict[str, str], says: str, receiver: Receiver) -> None:
    """Whatever a producer, or anybody who can write to Redis, asked for; nothing unsigned leaves."""
    ledger = Ledger(receiver.url)
    send(ledger, receiver.url, **changes)

    assert ledger.reports[0] is not None
    assert says in ledger.reports[0]
    assert receiver.seen == set()


def test_a_receiver_that_is_away_is_a_reason_without_the_url_s_secrets() -> None:
    """Neither in what is recorded nor in the log."""
    with listening(handler_of(200)) as url:
        pass
    ledger = Ledger(url)
    ledger.answer = "failed"
    with capture_logs() as lines:
        counted = send(ledger, url)

    assert ledger.reports[0] is not None
    assert "Connection refused" in ledger.reports[0]
    said = str(lines)
    assert "given up" in said
    assert "t0ken" not in said + ledger.reports[0]
    assert SECRET not in said + ledger.reports[0]
    assert counted["failed"] == 1


def test_a_job_that_was_removed_meanwhile_is_told_nobody() -> None:
    """There is no status any more."""
    ledger = Ledger("http://127.0.0.1:1/")
    ledger.gone = True
    send(ledger, "http://127.0.0.1:1/")

    assert ledger.reports == []


@pytest.mark.parametrize("secret", ["hello-world", "c2hvcnQ=", "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0!", "A" * 88])
def test_a_secret_that_cannot_be_one_is_refused_at_the_start(secret: str) -> None:
    """Libraries would read it differently; the message does not quote it."""
    with pytest.raises(UsageError, match="openssl rand -base64 32") as caught:
        WebhookSender(Ledger("http://h/"), Settings(webhook_secret=secret), lambda _: None)

    assert secret not in str(caught.value)


def test_both_spellings_of_a_secret_are_one() -> None:
    """`whsec_` is what the specification writes before it."""
    from worker.upkeep.webhooks import signed, signer

    first, second = signer(SECRET), signer(f"whsec_{SECRET}")
    assert first is not None
    assert second is not None
    headers = signed(first, "id", b"{}")
    assert second.verify(b"{}", headers) == {}


def test_an_id_is_the_same_for_each_try_and_another_for_each_end() -> None:
    """It has no full stop, which separates the signed parts."""
    first = WebhookCall("job", "http://h/", "1795422906.280331", 1)
    assert webhook_id(first) == webhook_id(WebhookCall("job", "http://h/", "1795422906.280331", 7))
    assert webhook_id(first) != webhook_id(WebhookCall("job", "http://h/", "1795422999.280331", 1))
    assert "." not in webhook_id(first)


def test_tries_are_spread_over_a_day() -> None:
    """The first soon, then less often, at most an hour apart; never all at the same moment."""
    waits = [[wait_s(attempt) for _ in range(50)] for attempt in range(1, 60)]

    assert all(2.5 <= wait <= 5 for wait in waits[0])
    assert all(LONGEST_WAIT_S / 2 <= wait <= LONGEST_WAIT_S for wait in waits[-1])
    assert all(len(set(several)) > 1 for several in waits)
    assert next(n for n in range(59) if sum(wait[0] for wait in waits[:n]) > 86400) > 24


@pytest.mark.parametrize("drop", [b"a", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["header", "continue"])
def test_a_try_ends_in_time_however_the_receiver_drips(drop: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then does not prolong it; several are sent at once, so that none waits for such a receiver."""
    monkeypatch.setattr("worker.upkeep.webhooks.TRY_S", 0.5)
    over = Event()

    class Drips(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX: " if drop == b"a" else b"")
            with suppress(OSError):
                while not over.wait(0.05):
                    self.wfile.write(drop)

        def log_message(self, *_: object) -> None:
            pass

    with listening(Drips, ThreadingHTTPServer) as url:
        ledger = Ledger(url)
        ledger.due *= 4
        began = time.monotonic()
        send(ledger, url)
        took = time.monotonic() - began
        over.set()

    assert ledger.reports == ["TimeoutError: no complete answer within 10 s"] * 4
    assert took < 4 * 0.5
