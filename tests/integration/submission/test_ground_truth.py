"""What the user says is right travels with each picture, and is refused before anything is sent."""

from pathlib import Path

import numpy as np
import pandas
import pytest
import torchvision
from msgspec import UNSET
from PIL import Image

from producer.cli.main import main
from producer.services import Services
from producer.submission import submit as submission
from producer.submission.submit import Listener
from shared import keys
from shared.config import Settings
from shared.contract import ImageRef, decode_lines
from shared.errors import TakenError, UsageError
from shared.ledger import RedisLedger
from tests.support.jobs.scripted_worker import picture
from tests.support.jobs.submitting import CountingStore, send

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("worker")]


def references(ledger: RedisLedger, store: CountingStore, job: str) -> list[ImageRef]:
    found = (store.get(keys.chunk_object(job, chunk)) for chunk in ledger.chunks(job))
    return [reference for raw in found for reference in decode_lines(raw, ImageRef)]


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Pictures in folders that are named after classes of the model."""
    for name in ("goldfish", "tabby"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "data" / name / f"{number}.png").write_bytes(picture(colour=(number, len(name), 0)))
    return tmp_path / "data"


def test_folders_are_labels(services: Services, ledger: RedisLedger, store: CountingStore, folders: Path) -> None:
    """Where they are asked for; a label is then no field."""
    job = send(services, folders, truth="folders")
    other = send(services, folders)

    assert [ref.truth for ref in references(ledger, store, job)] == [1, 1, 1, 2, 2, 2]
    assert not any(ref.truth for ref in references(ledger, store, other))


def test_an_unknown_label_is_refused_before_any_upload(
    services: Services, ledger: RedisLedger, store: CountingStore, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far behind it stands: no job, no object."""
    monkeypatch.setattr(submission, "LOOK_AHEAD", 2)
    (folders / "zebra").mkdir()
    (folders / "zebra" / "1.png").write_bytes(picture())

    with pytest.raises(UsageError, match=r"zebra/1\.png: tiny@0123456789ab has no class 'zebra'"):
        send(services, folders, truth="folders")
    with pytest.raises(
        UsageError, match=r"invalid truth 'folder' .did you mean folders.*: expected one of labels, folders"
    ):
        send(services, folders, truth="folder")

    assert (ledger.jobs(10), store.written) == ([], [])


def test_labels_of_data_sets_are_ground_truth(
    services: Services, ledger: RedisLedger, store: CountingStore, folders: Path
) -> None:
    """Of torchvision, of pandas, of pairs with indices as a tensor has them; a list of pairs may hold boxes in rows."""
    heard: list[str] = []
    frame = pandas.DataFrame(
        {"file": [str(folders / "tabby" / "0.png")] * 2, "label": ["tabby", "lynx"], "box": [(0, 0, 4, 4), None]}
    )
    pairs = [(Image.new("RGB", (8, 6)), np.int64(2)), (picture(), "Tench"), (picture(), None)]
    rows = [{"image": picture(), "label": "tabby", "classes": ["tench", 3]}]

    for given, truths in (
        (torchvision.datasets.ImageFolder(str(folders)), [1, 1, 1, 2, 2, 2]),
        (frame, [2, None]),
        (pairs, [2, 0, None]),
        (rows, [2]),
    ):
        job = send(services, given, Listener(notice=heard.append))
        found = references(ledger, store, job)
        assert [None if ref.truth is UNSET else ref.truth for ref in found] == truths

    assert len(heard) == 1
    assert "The first: " in heard[0]
    assert "no class 'lynx'" in heard[0]
    assert references(ledger, store, job)[0].classes == (0, 3)


def test_a_label_that_was_changed_is_another_job(services: Services, folders: Path) -> None:
    """A job id used again for other ground truth would mix answers."""
    one = str(folders / "tabby" / "0.png")
    send(services, [(one, "tabby")], job_id="mine")
    send(services, [(one, "tabby")], job_id="mine")

    with pytest.raises(TakenError, match="mine already exists with other pictures"):
        send(services, [(one, "tench")], job_id="mine")


def test_a_dry_run_finds_what_does_not_fit(
    settings: Settings, folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be refused, so it is."""
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    (folders / "tabby").rename(folders / "taby")

    with pytest.raises(SystemExit) as ended:
        main(["submit", str(folders), "--dry-run", "--truth", "folders"])

    assert ended.value.code == 2
    assert "has no class 'taby' (did you mean tabby" in capsys.readouterr().err
