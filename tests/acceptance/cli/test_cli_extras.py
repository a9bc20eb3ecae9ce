"""What makes the command pleasant: completion, names on stdin, archives, dry runs, tables, addresses, pictures."""

import csv
import io
import json
import subprocess
import urllib.request
from pathlib import Path

import pytest
from pyarrow import parquet

from shared.ledger import RedisLedger
from shared.storage import S3Store
from tests.acceptance.command import CAMQ, run_apart, terminal
from tests.acceptance.conftest import Camq, finished, lines, submitted
from tests.support.jobs.scripted_worker import MODEL, ScriptedWorker

pytestmark = pytest.mark.servers


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str, camq: Camq) -> None:
    """It asks camq itself, so that it never goes stale."""
    done = camq("completion", shell)

    assert done.returncode == 0
    assert f"_CAMQ_COMPLETE={shell}_complete" in done.stdout
    assert lines(camq("completion", shell, "--json")) == [{"shell": shell, "script": done.stdout.rstrip("\n")}]


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("camq stat", "plain,status"),
        ("camq submit --colo", "plain,--colormap"),
        ("camq submit --format w", "plain,webp"),
        ("camq submit pho", "file,pho"),
        ("camq status mi", "plain,mine"),
        ("camq report mi", "plain,mine"),
        ("camq show mi", "plain,mine:"),
        ("camq submit --colormap virid", "plain,viridis"),
        ("camq submit --model ti", "plain,tiny"),
    ],
)
def test_a_shell_completes_commands_options_values_files_and_job_ids(
    words: str, offered: str, camq: Camq, worker: ScriptedWorker
) -> None:
    """As the script asks for them."""
    submitted(camq, "photos", "--job-id", "mine")

    done = camq(_CAMQ_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(len(words.split()) - 1))

    assert offered in done.stdout.splitlines()


def test_completion_is_silent_when_nobody_answers(camq: Camq) -> None:
    """A line that is being typed is no place for an error."""
    done = camq(
        _CAMQ_COMPLETE="bash_complete",
        COMP_WORDS="camq status ",
        COMP_CWORD="2",
        CAMQ_REDIS_URL="redis://127.0.0.1:9/0",
    )

    assert (done.stdout.strip(), done.stderr) == ("", "")


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("end", ["\n", "\0"])
def test_names_come_from_stdin(
    end: str, environment: dict[str, str], tmp_path: Path, worker: ScriptedWorker, camq: Camq
) -> None:
    """Beside other paths, in their place."""
    names = "".join(f"photos/{name}{end}" for name in ("c 🐈.png", "a.png"))
    done = run_apart("submit", "nothere.png", "-", "--json", cwd=tmp_path, env=environment, stdin=names)
    job = json.loads(done.stdout)["job"]
    worker.work_off(job)

    assert [line["source"] for line in lines(camq("results", job, "--json"))] == [
        "nothere.png",
        "photos/c 🐈.png",
        "photos/a.png",
    ]


def test_a_dry_run_says_what_would_happen_and_does_nothing(
    camq: Camq, worker: ScriptedWorker, ledger: RedisLedger, s3_store: S3Store, photos: Path, tmp_path: Path
) -> None:
    """How many images from where, their bytes, the model, the options; what would fail."""
    before = len(list(s3_store.list("")))
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "IMG_1.JXL").write_bytes(b"\xff\x0a")

    (phone,) = lines(camq("submit", "photos/a.png", "more", "--dry-run", "--json"))
    (said,) = lines(camq("submit", "nothere.png", "photos", "--dry-run", "--json", "--classes", "tabby"))
    people = camq("submit", "nothere.png", "photos", "--dry-run")

    size = sum(path.stat().st_size for path in photos.iterdir())
    assert (said["dry_run"], said["images"], said["bytes"], said["failing"]) == (True, 4, size, 1)
    assert said["paths"] == [
        {"path": "nothere.png", "images": 1, "bytes": 0},
        {"path": "photos", "images": 3, "bytes": size},
    ]
    assert (said["model"], said["priority"]) == (MODEL, "high")
    assert said["options"]["classes"] == [2]  # type: ignore[index]
    assert said["failures"][0]["code"] == "not_found"  # type: ignore[index]
    assert (phone["images"], phone["left_out"], said["left_out"]) == (1, {".JXL": 1}, {})
    assert "would submit  4 images" in people.stdout
    assert "no job was created" in people.stderr
    assert ledger.jobs(10) == []
    assert len(list(s3_store.list(""))) == before


@pytest.mark.usefixtures("photos")
def test_a_dry_run_of_run_starts_nothing(camq: Camq) -> None:
    """No server, no worker: labels are not looked up."""
    (said,) = lines(camq("run", "photos", "--dry-run", "--json", "--model", "efficientnet_lite0"))

    assert (said["images"], said["model"]) == (3, "efficientnet_lite0")
    assert camq("run", "photos", "--dry-run", "--colormap", "jett").returncode == 2


@pytest.mark.usefixtures("photos")
def test_results_come_as_a_flat_table(
    camq: Camq, worker: ScriptedWorker, environment: dict[str, str], tmp_path: Path
) -> None:
    """CSV and Parquet on stdout, or in the folder beside what was fetched, where overlays are files."""
    job = finished(camq, worker, "photos", "--top-k", "2")

    found = list(csv.DictReader(io.StringIO(camq("results", job, "--format", "csv").stdout)))
    piped = subprocess.run(
        [CAMQ, "results", job, "--format", "parquet"], env=environment, capture_output=True, check=True, timeout=60
    )
    fetched = camq("results", job, "--out", "got", "--format", "csv", "--json")

    assert [(row["index"], row["rank"], row["label"]) for row in found] == [
        ("0", "1", "tench"),
        ("0", "2", "goldfish"),
        ("1", "", ""),
        ("2", "1", "tench"),
        ("2", "2", "goldfish"),
    ]
    table = parquet.read_table(io.BytesIO(piped.stdout))
    assert table["class_index"].to_pylist() == [0, 1, None, 0, 1]
    assert len(lines(fetched)) == 3
    with (tmp_path / "got" / "results.csv").open(newline="") as text:
        assert next(csv.DictReader(text))["overlay"] == "overlays/0-1.jpg"


@pytest.mark.usefixtures("photos")
def test_addresses_of_overlays_need_no_credentials(camq: Camq, worker: ScriptedWorker) -> None:
    """Each beside its object key, for as long as it was asked for."""
    job = finished(camq, worker, "photos")

    line, *_ = lines(camq("results", job, "--urls", "--expires", "10m"))
    best = line["predictions"][0]  # type: ignore[index]

    assert best["overlay"] == f"jobs/{job}/overlays/0-1.jpg"
    assert "X-Amz-Expires=600" in best["url"]
    with urllib.request.urlopen(best["url"], timeout=20) as answer:
        assert answer.read().startswith(b"\xff\xd8")
    table = camq("results", job, "--urls", "--format", "csv").stdout
    assert next(csv.DictReader(io.StringIO(table)))["url"].startswith("http")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--urls", "--out", "x"], "--urls"),
        (["--urls", "--expires", "8d"], "1s to 7d"),
        (["--urls", "--expires", "soon"], "90s, 12h or 7d"),
        (["--format", "csv", "--json"], "--out"),
    ],
)
def test_results_that_contradict_themselves_are_a_usage_error(arguments: list[str], says: str, camq: Camq) -> None:
    """Before anything is asked of a server."""
    done = camq("results", "any", *arguments)

    assert done.returncode == 2
    assert says in done.stderr


@pytest.mark.usefixtures("photos")
def test_show_draws_a_picture_or_an_overlay(camq: Camq, worker: ScriptedWorker) -> None:
    """Half blocks in colour, shades with NO_COLOR; the caption goes to stderr."""
    job = finished(camq, worker, "photos")

    file = camq("show", "photos/a.png")
    overlay = camq("show", f"{job}:2", "--rank", "2", COLUMNS="40", LINES="20")
    plain = camq("show", f"{job}:2", NO_COLOR="1")

    assert "▀" in file.stdout
    assert "\x1b[38;2;" in overlay.stdout
    assert "2. goldfish 25.0%" in overlay.stderr
    assert "\x1b" not in plain.stdout
    assert lines(camq("show", f"{job}:2", "--json"))[0]["index"] == 2


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize(
    ("what", "code", "says"),
    [
        (["{job}:1"], 2, "not_an_image"),
        (["{job}:9"], 2, "its images are 0 to 2"),
        (["{job}:0", "--rank", "7"], 2, "its ranks are 1, 2, 3"),
        (["nothere.png"], 2, "expected an existing file, or JOB:INDEX"),
        (["camq.txt"], 2, "cannot show camq.txt"),
        (["minf:0"], 3, "did you mean mine"),
    ],
)
def test_show_says_why_it_cannot(
    what: list[str], code: int, says: str, camq: Camq, worker: ScriptedWorker, tmp_path: Path
) -> None:
    """In the words of the other commands."""
    (tmp_path / "camq.txt").write_text("text")
    finished(camq, worker, "photos", "--job-id", "mine")

    done = camq("show", *(word.format(job="mine") for word in what))

    assert done.returncode == code
    assert says in done.stderr


@pytest.mark.usefixtures("photos", "worker")
def test_no_color_is_respected_on_a_terminal(environment: dict[str, str], tmp_path: Path) -> None:
    """Tables and bars have no colour; bold is none."""
    colourful = environment | {"TERM": "xterm-256color", "NO_COLOR": "1"}
    with terminal() as (screen, seen):
        for arguments in (["submit", "photos"], ["jobs"]):
            subprocess.run(
                [CAMQ, *arguments], env=colourful, cwd=tmp_path, stdout=screen, stderr=screen, timeout=60, check=True
            )
        drawn = seen()

    assert "3/3" in drawn
    assert not any(f"\x1b[{code}" in drawn for code in ("3", "4", "9", "1;3"))
