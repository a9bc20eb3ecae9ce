"""A lone picture's result that a worker sent with its commit, so that storage need not be asked for it."""

from collections import deque
from contextlib import suppress

from shared.contract import Answer, decode
from shared.errors import MessageError, NewerSchemaError

#: Characters of a message that is looked at: a worker sends at most half as many.
MOST_RAW = 1 << 20
#: Answers at hand in one process, the newest: a program may keep the handles of as many jobs as it likes.
MOST_KEPT = 16
_kept: deque["Answered"] = deque()


class Answered:
    """The newest answer that was heard. Its overlays are at hand once the ledger showed that it counts."""

    def __init__(self) -> None:
        self._answer: Answer | None = None
        self._counts = False

    def heard(self, raw: str) -> None:
        """Keep it. What camq did not send is no answer."""
        if len(raw) > MOST_RAW:
            return
        with suppress(MessageError, NewerSchemaError):
            self._answer, self._counts = decode(raw, Answer), False
            _kept.append(self)
            if len(_kept) > MOST_KEPT:
                _kept.popleft().forget()

    def forget(self) -> None:
        """Storage is asked for it from now on."""
        self._answer = None

    def lines(self, token: str) -> bytes | None:
        """The results object of the chunk that was committed with this token."""
        answer = self._answer  # which another thread may forget
        self._counts = answer is not None and token != "" and answer.token == token
        return answer.lines if answer and self._counts else None

    def overlay(self, key: str | None) -> bytes | None:
        """What was drawn, if it came along."""
        answer = self._answer
        return answer.overlays.get(key) if answer and self._counts and key else None
