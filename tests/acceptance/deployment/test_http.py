"""The HTTP API as a whole command: its tokens, and the lines of docs/how-to/http.md as they are printed there."""

import json
import os
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import urllib3

from producer.local.embedded.stack import free_ports
from shared.config import Settings
from shared.storage import S3Store
from tests.acceptance.command import CAMQ
from tests.acceptance.conftest import Camq, Start
from tests.support.deployment.pages import ROOT, blocks
from tests.support.jobs.scripted_worker import ScriptedWorker, picture

pytestmark = [pytest.mark.servers, pytest.mark.timeout(200)]

#: All but the one that starts the server.
EXAMPLES = blocks(ROOT / "docs" / "how-to" / "http.md", "sh")[1:]


@pytest.fixture
def pictures_in_storage(settings: Settings, s3_store: S3Store) -> None:
    """What an example reads in place."""
    with closing(S3Store.from_settings(msgspec.structs.replace(settings, bucket="pictures"))) as store:
        store.ensure_bucket()
    s3_store.put("s3://pictures/holiday/1.png", picture())


def test_every_example_does_what_it_says(
    start: Start,
    worker: ScriptedWorker,
    environment: dict[str, str],
    pictures_in_storage: None,
    tmp_path: Path,
) -> None:
    """In order, in one shell that stops at the first failure; `curl` fails where the server refuses."""
    for name in ("cat.jpg", "dog.png"):
        (tmp_path / name).write_bytes(picture())
    port = str(next(iter(free_ports())))
    server = start("serve", "--port", port, "--json", CAMQ_SERVE_INPUT_PREFIXES="s3://pictures/")
    assert server.stdout
    said = json.loads(server.stdout.readline())
    assert said["api"] == f"http://127.0.0.1:{port}/v1"

    text = "".join(block.text for block in EXAMPLES).replace(":8000", f":{port}").replace("curl ", "curl --fail ")
    with worker.at_work():
        done = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", text],
            cwd=tmp_path,
            env=environment | {"PATH": f"{Path(CAMQ).parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )

    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "overlay.jpg").read_bytes().startswith(b"\xff\xd8")
    assert json.loads((tmp_path / "results.jsonl").read_text())["state"] == "succeeded"
    assert worker.ledger.jobs(20)[0].state == "succeeded"


def test_tokens_are_made_listed_and_revoked(camq: Camq, worker: ScriptedWorker) -> None:
    """A script gets the token alone on stdout."""
    made = camq("token", "create", "--scope", "submit", "--name", "shop", "--expires", "30d", "--json")
    text = camq("token", "create", "--scope", "read")
    listed = json.loads(camq("token", "list", "--json").stdout)
    table = camq("token", "list").stdout
    token = json.loads(made.stdout)

    assert text.stdout.strip().startswith("camq_")
    assert [(one["name"], one["scope"]) for one in listed] == [("shop", "submit"), (None, "read")]
    assert "shop" in table
    assert token["token"] not in table + json.dumps(listed)
    assert json.loads(camq("token", "revoke", token["id"], "--json").stdout) == {"id": token["id"], "revoked": True}
    again = camq("token", "revoke", token["id"])
    assert (again.returncode, "camq token list" in again.stderr) == (2, True)
    assert [one["name"] for one in json.loads(camq("token", "list", "--json").stdout)] == [None]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["create"], "--scope"),
        (["create", "--scope", "all"], "expected one of read, submit, manage"),
        (["create", "--scope", "read", "--expires", "9999d"], "365 days"),
        (["create", "--scope", "read", "--name", ""], "invalid name"),
    ],
)
def test_a_wrong_token_is_refused(arguments: list[str], says: str, camq: Camq, worker: ScriptedWorker) -> None:
    """Exit status 2, and nothing is made."""
    done = camq("token", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert json.loads(camq("token", "list", "--json").stdout) == []


def test_the_live_page_is_beside_the_api(start: Start, worker: ScriptedWorker) -> None:
    """Behind its link, as with `camq ui`."""
    server = start("serve", "--port", "0", "--json")
    assert server.stdout
    said = json.loads(server.stdout.readline())
    with urllib3.PoolManager(timeout=10) as pool:
        opened = pool.request("GET", said["url"], redirect=False)
        shut = pool.request("GET", said["url"].partition("?")[0], redirect=False)
        docs = pool.request("GET", said["docs"])

    assert (opened.status, shut.status, docs.status) == (303, 401, 200)


def test_curl_and_jq_are_there() -> None:
    """The examples need them, and a reader's machine usually has them."""
    assert shutil.which("curl")
    assert shutil.which("jq")
