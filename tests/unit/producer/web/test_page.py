"""Pages: what is escaped, what may run, and what they say of a job."""

import json
import re
import sys
from pathlib import Path

import msgspec
import pytest

from producer.formatting import elapsed_s, moment
from producer.web.kit.cards import fit
from producer.web.kit.failures import group
from producer.web.kit.page import SCRIPTS, render, script, script_json
from producer.web.kit.summary import STOPS, colours, summarise
from producer.web.live import LIVE
from producer.web.report import report_page
from shared.contract import JobState, JobStatus, Options
from tests.browser.galleries import STATUS, gallery, packed, write

HOSTILE = "</script><script>alert(1)</script> <!-- \" ' & \u2028 \n 🐈"


def test_json_in_a_page_cannot_end_its_element() -> None:
    """No `<` is left, and a parser reads back the very same text."""
    text = script_json({"name": HOSTILE})

    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"name": HOSTILE}


def test_a_hostile_name_is_text_everywhere(tmp_path: Path) -> None:
    """As the job's name, as a source that succeeded and one that failed, as a label."""
    status = msgspec.structs.replace(STATUS, name=HOSTILE)
    page = write(tmp_path / "report.html", gallery(4, source=HOSTILE, label=HOSTILE), status).read_text()

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page  # it is there, as text
    assert page.count("<script") == len(re.findall(r'<script (?:type="\S+" )?(?:nonce="\S+"|id="\S+")>', page))


def test_only_what_carries_the_nonce_may_run(tmp_path: Path) -> None:
    """The policy stands before anything it governs; no handler and no style attribute is in the page."""
    page = write(tmp_path / "report.html", gallery(4)).read_text()
    nonce = re.search(r"script-src &#39;nonce-([\w-]+)&#39;", page)

    assert nonce is not None
    assert page.index("Content-Security-Policy") < page.index("<style")
    assert "default-src &#39;none&#39;" in page
    assert f'<script type="module" nonce="{nonce[1]}">' in page
    assert not re.search(r"<[a-z]+[^>]*\s(?:on[a-z]+|style)=", page)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page)


def test_a_nonce_is_used_once() -> None:
    """Two pages never share it."""
    values = {"title": "", "message": ""}

    assert render("error.html", package=LIVE, **values) != render("error.html", package=LIVE, **values)


@pytest.mark.parametrize(
    ("report", "live"),
    [(SCRIPTS, ()), (SCRIPTS, ("live", "post", "feed")), ((), ("live", "post", "upload"))],
    ids=["report", "job", "overview"],
)
def test_modules_are_joined_without_their_imports(report: tuple[str, ...], live: tuple[str, ...]) -> None:
    """What they import is in the same script; a name is declared once."""
    text = script(*report) + "\n" + script(*live, package=LIVE)
    names = re.findall(r"^(?:const|let|class|function|async function) (\w+)", text, re.MULTILINE)

    assert not re.search(r"^(?:import|export)\b", text, re.MULTILINE)
    assert len(names) == len(set(names))


def test_the_summary_says_when_how_long_and_with_what() -> None:
    """Times for people; options that differ from their defaults are marked."""
    summary = summarise(STATUS, Options(method="gradcam", colormap="viridis"))
    chosen = {name: value for name, value, differs in summary.options if differs}

    assert dict(summary.facts)["Took"] == "2 min 29 s"
    assert chosen == {"method": "gradcam", "colormap": "viridis"}
    assert moment(STATUS.created_at) == "23 Nov 2026, 08:15 UTC"
    assert moment(None) == ""


@pytest.mark.parametrize(
    ("state", "served", "term", "told"),
    [
        (JobState.QUEUED, True, "Waiting for", False),
        (JobState.QUEUED, False, "Waiting for", True),
        (JobState.RUNNING, True, "Running for", False),
        (JobState.RUNNING, False, "Running for", True),
    ],
)
def test_a_job_that_nobody_serves_says_what_it_waits_for(state: JobState, served: bool, term: str, told: bool) -> None:
    """Also while it runs, for its worker may be gone; what is left is an estimate only where somebody works."""
    status = msgspec.structs.replace(STATUS, state=state, finished_at=None)
    page = report_page(status, Options(), packed([]), group({}, {}, 0), served=served)

    assert f"<dt>{term}</dt>" in page
    assert ('<p class="waits">' in page) == told
    assert ("estimating" in page) == (served and state is JobState.RUNNING)


def test_an_unfinished_job_counts_its_time_on() -> None:
    """Until now, and never below zero when clocks differ."""
    later: JobStatus = msgspec.structs.replace(
        STATUS, finished_at=None, state=JobState.RUNNING, created_at="2999-01-01T00:00:00.000Z"
    )

    assert elapsed_s(later) == 0


def test_a_legend_without_cmap_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A producer without a worker's packages still says which end is high."""
    monkeypatch.setitem(sys.modules, "cmap", None)
    page = report_page(STATUS, Options(), packed([]), group({}, {}, 0))

    assert colours("jet") == []
    assert "linearGradient" not in page
    assert re.search(r"<span>low</span>.*<span>high</span>", page, re.DOTALL)


def test_a_legend_runs_through_the_colormap() -> None:
    """From its first colour to its last, as six-digit colours."""
    stops = colours("viridis")

    assert (stops[0], stops[-1]) == ("#440154", "#FDE725")
    assert len(stops) == STOPS


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Options(), "over"),
        (Options(overlay="input"), "over"),
        (Options(resize="center-crop"), "over"),
        (Options(overlay="input", resize="center-crop"), "apart"),
    ],
)
def test_an_overlay_of_the_cropped_input_stands_for_itself(options: Options, expected: str) -> None:
    """It shows only part of the picture, and only the worker knows which."""
    assert fit(options) == expected
