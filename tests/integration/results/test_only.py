"""A job that draws only some of its pictures: whoever reads its results meets predictions without overlays."""

import csv
import io
import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from producer import Client
from producer.cli.main import main
from producer.services import Services
from producer.web.report import write_report
from shared.config import Settings
from shared.errors import CamqError, UsageError
from tests.support.jobs.scripted_worker import ScriptedWorker, picture
from tests.support.jobs.submitting import CountingStore, pictures, send
from tests.support.servers.api import api

pytestmark = pytest.mark.servers


@pytest.fixture
def job(services: Services, worker: ScriptedWorker) -> str:
    """Four pictures, of which the first and the third are drawn, with all that can be stored."""
    options = {"only": "below:0.6", "top_k": 2, "heatmaps": True, "keep_maps": True}
    made = send(services, pictures(4), options=options)
    worker.work_off(made)
    return made


def test_what_was_not_drawn_has_no_files(services: Services, store: CountingStore, job: str, tmp_path: Path) -> None:
    """Overlays, heatmaps and maps of the others are downloaded; each picture has its line."""
    with Client(services.settings, store=store) as client:
        lines = client.job(job).download(tmp_path / "out").read_text().splitlines()
        first, second, *_ = client.job(job).results()

    found = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").glob("*/*"))
    names = [f"{folder}/{n}-{rank}.{ending}" for folder, ending in (("heatmaps", "png"), ("overlays", "jpg"))
             for n in (0, 2) for rank in (1, 2)]  # fmt: skip
    assert found == sorted([*names, "maps/0.npz", "maps/2.npz"])
    overlays = [[each["overlay"] for each in json.loads(line)["predictions"]] for line in lines]
    assert overlays[:2] == [["overlays/0-1.jpg", "overlays/0-2.jpg"], [None, None]]
    assert first.predictions[0].overlay().size == (8, 6)
    for ask in (second.predictions[0].overlay, second.predictions[0].url, second.predictions[0].map):
        with pytest.raises(CamqError, match="not drawn: the job was submitted with --only"):
            ask()
    assert "tench 50.0%, goldfish 25.0% (not drawn)" in second._repr_html_()


def test_tables_pages_and_the_api_leave_its_place_empty(
    services: Services,
    settings: Settings,
    job: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No address that leads nowhere."""
    for module in ("results", "summary"):
        monkeypatch.setattr(f"producer.cli.commands.{module}.services", lambda: nullcontext(services))
    for arguments in (["results", job, "--format", "csv", "--urls"], ["results", job, "--urls"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
    *table, one, two, _, _ = capsys.readouterr().out.splitlines()
    rows = list(csv.DictReader(io.StringIO("\n".join(table))))
    assert (
        [bool(row["url"]) for row in rows] == [bool(row["overlay"]) for row in rows] == [True, True, False, False] * 2
    )
    assert [[bool(p["url"]) for p in json.loads(line)["predictions"]] for line in (one, two)] == [
        [True] * 2,
        [False] * 2,
    ]

    assert write_report(services, job, tmp_path / "report.html", embed=False) == 4
    assert len(list((tmp_path / "report_files").glob("[0-9]*-*"))) == 4  # two of each picture that was drawn

    with api(services) as client:
        found = client.get(f"/v1/jobs/{job}/results").json()["results"]
        assert [[bool(p["overlay"]) for p in line["predictions"]] for line in found] == [[True] * 2, [False] * 2] * 2
        assert client.get(f"/v1/jobs/{job}/images/1/overlays/1").status_code == 404


def test_only_wrong_needs_ground_truth(services: Services, worker: ScriptedWorker) -> None:
    """Nothing would be drawn at all."""
    with pytest.raises(UsageError, match="--only wrong: no picture has a label that tiny@0123456789ab knows"):
        send(services, [picture()], options={"only": "wrong"})
    made = send(services, [(picture(), "tabby")], options={"only": "wrong"})

    assert services.ledger.options(made).only == "wrong"
