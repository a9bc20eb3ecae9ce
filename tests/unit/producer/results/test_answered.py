"""Answers that came with a commit: which of them count, and for how long."""

from producer.results.answered import MOST_KEPT, MOST_RAW, Answered
from shared.contract import Answer, encode


def heard(*raw: str) -> Answered:
    found = Answered()
    for one in raw:
        found.heard(one)
    return found


ANSWER = encode(Answer("mine", b"lines", {"jobs/a/overlays/0-1.jpg": b"jpeg"})).decode()


def test_overlays_are_at_hand_while_the_ledger_says_that_their_answer_counts() -> None:
    """A job's id may be used again: then its chunk has another token, and its overlays the same keys."""
    found = heard(ANSWER)

    assert found.overlay("jobs/a/overlays/0-1.jpg") is None
    assert found.lines("mine") == b"lines"
    assert found.overlay("jobs/a/overlays/0-1.jpg") == b"jpeg"
    assert found.lines("of another claim") is None
    assert found.overlay("jobs/a/overlays/0-1.jpg") is None


def test_what_no_worker_sends_is_passed_over() -> None:
    """Garbage, a newer release's form, or more than a worker sends; what came before stays."""
    for odd in ("{", '{"schema_version": 99}', f"{ANSWER[:-1]}{' ' * MOST_RAW}}}"):
        assert heard(ANSWER, odd).lines("mine") == b"lines"
    assert heard("[]").lines("") is None


def test_the_newest_answers_are_kept_however_many_jobs_a_program_holds() -> None:
    """Those before are read from storage again."""
    jobs = [heard(ANSWER) for _ in range(MOST_KEPT + 1)]

    assert [job.lines("mine") for job in jobs] == [None] + [b"lines"] * MOST_KEPT
