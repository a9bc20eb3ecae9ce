"""`camq evaluate JOB`: the pictures of a job are those that it had, and what is known of them is known again."""

from pathlib import Path

import msgspec
import pytest

from producer.cli.commands.evaluate import pictures_of, preparation
from producer.cli.paths import all_of, given_pictures
from producer.results.originals import references
from producer.services import Services
from shared.contract import ImageRef, Options
from tests.support.jobs.scripted_worker import CARD, ScriptedWorker, picture
from tests.support.jobs.submitting import send

pytestmark = pytest.mark.servers


def of(services: Services, job: str) -> list[ImageRef]:
    return list(references(services.ledger, services.store, job))


def test_a_page_stays_that_page(services: Services, worker: ScriptedWorker, tmp_path: Path) -> None:
    """Not the first one of its file."""
    (tmp_path / "scan.tif").write_bytes(picture(file_format="tiff"))
    job = send(services, [f"{tmp_path}/scan.tif#2", f"{tmp_path}/scan.tif"])

    again = send(services, pictures_of(services, job, worker.card, None))

    assert of(services, again) == of(services, job)
    assert [reference.page or 1 for reference in of(services, again)] == [2, 1]


def test_a_true_class_goes_to_another_model_by_its_label(
    services: Services, worker: ScriptedWorker, tmp_path: Path
) -> None:
    """There its index may be another class; a label that the other model does not have is no truth."""
    (tmp_path / "a.png").write_bytes(picture())
    table = tmp_path / "table.csv"
    table.write_text(f"source,label\n{tmp_path}/a.png,goldfish\n{tmp_path}/a.png,tabby\n")
    job = send(services, all_of(given_pictures((), str(table))), truth="labels")
    assert [reference.truth for reference in of(services, job)] == [1, 2]
    other = msgspec.structs.replace(CARD, model="other@ffffffffffff", labels=("goldfish", "tench", "rabbit"))
    ScriptedWorker(services.ledger, services.store, other, pid=2).beat()

    again = send(services, pictures_of(services, job, other, None), model=other.model)

    assert [reference.truth for reference in of(services, again)] == [0, msgspec.UNSET]


def test_pictures_are_prepared_as_in_their_job() -> None:
    """The size of the input and how a picture gets it are kept for the same model alone."""
    options = Options(range="-160:240", truncated="keep", resize="letterbox", input_size=320, alpha=0.3)

    assert preparation(options, same_model=True) == {
        "range": "-160:240",
        "truncated": "keep",
        "resize": "letterbox",
        "input_size": 320,
    }
    assert preparation(options, same_model=False) == {"range": "-160:240", "truncated": "keep"}
    assert preparation(Options(), same_model=True) == {}
