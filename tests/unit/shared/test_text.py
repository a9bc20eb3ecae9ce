"""What is mistyped is answered with what was meant."""

import traceback
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner
from redis.backoff import NoBackoff
from redis.retry import Retry

from producer import Client
from producer.cli.main import cli, unknown_variables
from producer.inputs import disk as sources
from producer.inputs.expand import Expansion
from shared.config import Settings
from shared.errors import UnreachableError, UsageError
from shared.storage import MemoryStore
from shared.text import did_you_mean, nearest


def test_the_nearest_words_come_first_and_case_does_not_matter() -> None:
    """Then those that have it inside."""
    assert nearest("TABB", ["tiger cat", "tabby cat", "tabby"]) == ["tabby", "tabby cat"]
    assert nearest("cat", ["tiger cat", "dog"]) == ["tiger cat"]
    assert did_you_mean("", ["a"]) == did_you_mean("xyz", ["abc"]) == ""


def test_what_is_far_from_every_word_has_no_hint() -> None:
    """Neither the least unlike one, nor one beside a much nearer one, nor whatever two letters lie in."""
    assert nearest("dog", ["hog", "dough"]) == ["dough"]
    assert nearest("x.jpg", ["cat.jpg"]) == nearest("zz", ["jigsaw puzzle", "muzzle"]) == []
    assert nearest("resnet19", ["resnet18", "resnet", "convnext"]) == ["resnet18", "resnet"]


def test_a_mistyped_colormap_is_not_answered_with_hundreds_of_names() -> None:
    """But with the nearest, and where the others are."""
    done = CliRunner().invoke(cli, ["run", "nothere.png", "--colormap", "viridi"])

    said = done.stderr
    assert "did you mean viridis" in said
    assert "documentation" in said
    assert len(said) < 300


def test_a_variable_that_is_no_setting_is_named_with_the_nearest() -> None:
    """Not those of the deployment, of secrets in files, of Kubernetes, or of others."""
    environ = {
        "CAMQ_CHUNK_SIZES": "3",
        "CAMQ_CHUNK_SIZE": "3",
        "CAMQ_S3_SECRET_KEY_FILE": "/run/secrets/s3",
        "CAMQ_TAG": "latest",
        "CAMQ_EXPORTER_SERVICE_HOST": "10.0.0.1",
        "CAMQ_EXPORTER_PORT_9090_TCP": "tcp://10.0.0.1:9090",
        "OTHER_CHUNK_SIZES": "3",
    }

    (said,) = unknown_variables(environ)
    assert "CAMQ_CHUNK_SIZES is not a setting" in said
    assert said.endswith("(did you mean CAMQ_CHUNK_SIZE?)")


def test_the_help_has_a_complete_line_for_every_command_under_some_head() -> None:
    """Also on a narrow terminal."""
    text = CliRunner().invoke(cli, ["--help"], terminal_width=60).output
    lines = text.splitlines()

    assert all(f"{head}:" in lines for head in ("Try", "Submit and look", "Run", "Upkeep"))
    for name, command in cli.commands.items():
        assert command.short_help
        assert len(command.short_help) <= 45
        assert [line.split(None, 1) for line in lines].count([name, command.short_help]) == 1


def test_who_loaded_no_settings_is_told_how(monkeypatch: pytest.MonkeyPatch) -> None:
    """In Python as well, and without sixty lines of the client's own trace."""
    nobody = redis.Redis(host="127.0.0.1", port=9, retry=Retry(NoBackoff(), 0))
    monkeypatch.setattr("shared.ledger.connect", lambda *_, **__: nobody)

    with Client() as client, pytest.raises(UnreachableError, match=r"set -a; \. camq-data/camq\.env") as caught:
        client.jobs()

    assert "redis/connection.py" not in "".join(traceback.format_exception(caught.value))


def test_who_named_another_redis_is_not_told_to_load_settings() -> None:
    """They have some."""
    with Client(Settings(redis_url="redis://127.0.0.1:9/0")) as client, pytest.raises(UnreachableError) as caught:
        client.jobs()

    assert "camq.env" not in str(caught.value)


def test_a_mistyped_path_is_answered_with_what_stands_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hidden files aside; one whose folder is not there gets no hint."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / ".photso").touch()

    with pytest.raises(UsageError, match=r"'photso' not found \(did you mean photos\?\), 'no/where' not found$"):
        list(Expansion(["photso", "no/where"], store=MemoryStore))


def test_a_mistyped_path_in_a_folder_of_millions_is_answered_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what stands beside it some is looked at."""
    for number in range(9):
        (tmp_path / f"{number}.jpg").touch()
    seen: list[str] = []
    monkeypatch.setattr(sources, "MOST_NEIGHBOURS", 5)
    monkeypatch.setattr(sources, "did_you_mean", lambda _, known: seen.extend(known) or "")

    with pytest.raises(UsageError, match="not found"):
        list(Expansion([tmp_path / "x.jpg"], store=MemoryStore))
    assert len(seen) == 5


def test_a_mistyped_command_is_answered_with_the_nearest_and_no_other() -> None:
    """A short name such as `ui` is not near everything."""
    said = CliRunner().invoke(cli, ["sbumit", "photos"]).output

    assert said.rstrip().endswith("Did you mean one of these?\n    submit")


def test_show_takes_a_job_only_with_an_index() -> None:
    """A job's id alone is answered with how to ask for its first image."""
    said = str(CliRunner().invoke(cli, ["show", "holiday"]).exception)

    assert "such as holiday:0" in said
