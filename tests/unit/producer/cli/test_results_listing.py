"""Results for people: few on a terminal, all in a pipe, and every kind of failure."""

import json

import pytest
from msgspec.structs import replace

from producer.cli.results_listing import print_results
from shared.contract import ErrorInfo, ImageRecord, ImageState, PictureWarning, PredictionRecord

BROKEN = ErrorInfo("not_an_image", "the bytes are not a picture")


def records(count: int, failing: int) -> list[ImageRecord]:
    good = [ImageRecord(index=n, source=f"{n}.png", state=ImageState.SUCCEEDED) for n in range(count - failing)]
    bad = [
        ImageRecord(index=n, source=f"{n}.png", state=ImageState.FAILED, error=BROKEN)
        for n in range(count - failing, count)
    ]
    return good + bad


def test_a_terminal_gets_the_first_images_and_the_failures_by_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an example of each, and where to see them all."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_results(records(1000, 30), as_json=False, every="camq results JOB | less")

    out, err = capsys.readouterr()
    assert "19.png" in out
    assert "20.png" not in out
    assert "not_an_image" in out
    assert "30" in out
    assert "970 970.png" in out
    assert "… and 980 more images; to see all:\n  camq results JOB | less" in err


def test_a_pipe_gets_every_image_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, so that `grep failed | wc -l` counts."""
    print_results(records(1000, 30), as_json=False, every="x")

    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1001
    assert sum("failed" in line for line in out.splitlines()) == 30
    assert err == ""


def test_how_many_were_drawn_is_said_where_some_were_not(capsys: pytest.CaptureFixture[str]) -> None:
    """As with --only; failed images are no part of it, and where all were drawn it says nothing."""
    (plain,) = records(1, 0)
    drawn = replace(plain, predictions=(prediction("o.jpg"), prediction(None)))
    left = replace(plain, predictions=(prediction(None),))
    for as_json in (False, True):
        print_results([drawn, left, left, *records(1, 1)], as_json=as_json, every="x")
        assert capsys.readouterr().err == "drawn: 1 of 3 classified images\n"
        print_results([drawn, *records(2, 1)], as_json=as_json, every="x")
        assert capsys.readouterr().err == ""


def prediction(overlay: str | None) -> PredictionRecord:
    return PredictionRecord(
        rank=1,
        class_index=0,
        label="a",
        probability=0.5,
        overlay=overlay,
        box=None,
        map_min=0.0,
        map_max=1.0,
        flat=False,
    )


def test_a_warning_stands_behind_the_prediction(capsys: pytest.CaptureFixture[str]) -> None:
    """By its code; as JSON with its sentence, and no key where there is none."""
    (plain,) = records(1, 0)
    warned = replace(plain, warnings=(PictureWarning("truncated", "the picture ends early"),))
    print_results([warned], as_json=False, every="x")
    assert "(warning: truncated)" in capsys.readouterr().out
    print_results([plain, warned], as_json=True, every="x")
    without, with_it = map(json.loads, capsys.readouterr().out.splitlines())

    assert "warnings" not in without
    assert with_it["warnings"] == [{"code": "truncated", "message": "the picture ends early"}]
