"""Sentences of the command, in the words of HTTP."""

import pytest

from producer.web.http.words import without_command_line


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        ("--top-k is not for --min-probability", "top_k is not for min_probability"),
        ("use another --job-id", "use another Idempotency-Key"),
        ("no job night--run is known", "no job night--run is known"),
        ("cat--small.jpg and my.--odd.jpg are no pictures", "cat--small.jpg and my.--odd.jpg are no pictures"),
    ],
)
def test_options_become_fields_and_names_stay(said: str, answered: str) -> None:
    """A job or a file may have two hyphens in its name."""
    assert without_command_line(said) == answered
