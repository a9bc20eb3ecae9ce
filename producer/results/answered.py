"""A lone picture's result that a worker sent with its commit, so that storage need not be asked for it."""

from shared.contract import Answer, decode
from shared.errors import MessageError


class Answered:
    """The newest answer that was heard. Its overlays are at hand once the ledger showed that it counts."""

    def __init__(self) -> None:
        self._answer: Answer | None = None
        self._counts = False

    def heard(self, raw: str) -> None:
        """Keep it. What camq did not send is no answer."""
        try:
            self._answer, self._counts = decode(raw, Answer), False
        except MessageError:
            return

    def lines(self, token: str) -> bytes | None:
        """The results object of the chunk that was committed with this token."""
        if self._answer is None or not token or self._answer.token != token:
            return None
        self._counts = True
        return self._answer.lines

    def overlay(self, key: str | None) -> bytes | None:
        """What was drawn, if it came along."""
        return self._answer.overlays.get(key) if self._answer and self._counts and key else None
