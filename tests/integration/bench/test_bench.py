"""The benchmark's own arithmetic: a ratio that is computed wrongly would be believed."""

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

from bench import machine, timing
from bench.__main__ import main
from bench.fake_worker import FakeNetwork
from bench.fake_worker_model import MODEL
from bench.results import Report, Row, Series, Target, plain, ratio, render
from bench.rows import ROWS, USUAL
from worker.app import card_of


def report() -> Report:
    row = Row(
        number=3,
        name="end-to-end",
        title="end to end",
        settings={"images": 1000},
        series={"k=1": Series("images/s", (60.0, 80.0, 70.0)), "many": Series("ms", tuple(map(float, range(100))))},
        targets=(Target("fast enough", 0.79, "≥", 0.8), Target("small enough", 0.79, "≤", 0.8)),
        notes=("a note",),
    )
    return Report(started_at="2026-11-20T00:00:00+00:00", settings={"quick": True}, machine={"cores": 2}, rows=(row,))


def test_median_spread_and_quantiles_are_those_of_the_samples() -> None:
    """One bad round moves neither the median nor the 99th percentile of many."""
    series = Series("ms", (10.0, 12.0, 11.0, 50.0, 9.0))

    assert series.median == 11
    assert series.spread == pytest.approx(41 / 11)
    assert Series("ms", tuple(map(float, range(1, 101)))).quantile(0.99) == 99
    assert Series("ms", (1.0,)).quantile(0.99) == 1


def test_a_ratio_is_taken_round_by_round() -> None:
    """Both sides of a slow round are slow, so that their ratio is not."""
    assert ratio([40, 4, 44], [80, 8, 80]).samples == (0.5, 0.5, 0.55)
    with pytest.raises(ValueError, match="longer"):
        ratio([1], [1, 2])


def test_sides_take_turns_and_change_their_order() -> None:
    """No side always follows the same neighbour."""
    calls = []
    sides = {name: lambda name=name: calls.append(name) or float(len(calls)) for name in "abc"}

    samples = timing.interleave(sides, 2)

    assert "".join(calls) == "abccba"
    assert samples == {"a": [1, 6], "b": [2, 5], "c": [3, 4]}


def test_a_rate_counts_what_was_done_until_its_time_was_over() -> None:
    """At least once, and never less than the time asked for."""
    assert timing.rate(lambda: 5, 0.0) > 0


def test_the_table_shows_every_sample_and_says_which_targets_were_missed() -> None:
    """Long series by their quantiles; targets beside their row, and once more at the end."""
    text = render(report())

    assert "[60, 80, 70]" in text
    assert "p50 49" in text
    assert text.count("MISSED     0.79 ≥ 0.8     fast enough") == 2
    assert text.count("met        0.79 ≤ 0.8     small enough") == 2
    assert "note: a note" in text


def test_the_json_holds_raw_samples_and_what_was_made_of_them() -> None:
    """A reader needs neither this code nor the rounded table."""
    (row,) = json.loads(json.dumps(plain(report())))["rows"]

    assert row["series"]["k=1"] == {"unit": "images/s", "median": 70, "spread": 20 / 70, "samples": [60, 80, 70]}
    assert [target["met"] for target in row["targets"]] == [False, True]


def test_all_rows_of_the_benchmark_are_there() -> None:
    """Numbered without a gap; `make bench` runs all but those that take longer."""
    numbers = {row.NUMBER for row in ROWS.values()}
    assert numbers == set(range(1, len(numbers) + 1))
    assert set(ROWS) - set(USUAL) >= {"growth", "host", "raising"}


def test_without_a_gpu_the_cuda_rows_are_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """And with a failure's exit status, before anything is measured."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        main(["--device", "cuda"])

    assert ended.value.code == (
        "python -m bench: no CUDA device is visible to torch here; run --device cuda on a machine with one"
    )


def test_a_package_that_is_only_importable_is_not_called_absent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its rows were measured, from a folder on PYTHONPATH; only who made them is not known."""
    (tmp_path / "pytorch_grad_cam").mkdir()
    (tmp_path / "pytorch_grad_cam" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    def unknown(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(machine, "version", unknown)
    monkeypatch.setattr(machine, "_PACKAGES", ("grad-cam", "no-such-package"))

    assert machine.describe("cpu")["versions"] == {
        "grad-cam": "version unknown",
        "no-such-package": "not installed",
    }


def test_the_fake_worker_s_network_tells_all_that_a_worker_publishes() -> None:
    """Else none of the rows that measure the ledger has a worker."""
    card = card_of(FakeNetwork(), "none")  # type: ignore[arg-type]

    assert (card.model, card.labels, card.target_layer, card.engine) == (MODEL, ("nothing",), "nothing", "none")
