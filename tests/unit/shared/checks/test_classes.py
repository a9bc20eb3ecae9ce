"""Which class of a model a label or an index means."""

from typing import Any

import pytest
from msgspec.structs import replace

from shared.checks.classes import Classes
from shared.errors import UsageError
from tests.support.jobs.scripted_worker import CARD

NAMES = ("tench, Tinca tinca", "Golden Retriever", "10", "2", "crane", "crane", "sea, salt", "salt")
CLASSES = Classes(replace(CARD, labels=NAMES))


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("tench, Tinca tinca", 0),
        ("tench", 0),
        ("tinca TINCA", 0),
        ("golden_retriever", 1),
        (" Golden  retriever ", 1),
        ("10", 2),  # a label to the letter goes before an index
        ("2", 3),
        (2, 2),  # a number is an index
        ("7", 7),
        ("salt", 7),
        ("sea", 6),
    ],
)
def test_a_class_is_meant_by_label_name_or_index(wanted: object, index: int) -> None:
    """As folders, tables and data sets have them."""
    assert CLASSES.index(wanted) == index


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("crane", "class 'crane' is ambiguous: use one of the indices 4, 5"),
        ("8", "invalid class 8: tiny@0123456789ab has the classes 0 to 7"),
        (-1, "invalid class -1"),
        ("Golden Retreiver", r"no class 'Golden Retreiver' \(did you mean Golden Retriever"),
        ("", "no class ''"),
    ],
)
def test_what_is_no_class_or_several_says_so(wanted: Any, says: str) -> None:
    """With what was meant, where that can be guessed."""
    with pytest.raises(UsageError, match=says):
        CLASSES.index(wanted)
