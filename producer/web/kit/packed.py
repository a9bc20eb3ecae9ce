"""Cards as a page carries them: a hundred thousand must open at once, so that nothing is said twice."""

from __future__ import annotations

from typing import Any

import msgspec

#: In the order of their numbers in a row; `js/album.js` has the same.
STATES = ("succeeded", "failed", "running", "queued", "cancelled")


class Packed:
    """Takes cards (`cards.card`) one by one and keeps each as a row of JSON, about 150 bytes.

    A row is `[index, source, state, width, height, original, predictions, truth, more]`. Labels are numbers of a table.
    `predictions` has nine values for each: rank, label, probability, overlay, flat and the box, nulls without one.
    `truth` is 0, or the answer (1 right, 0 wrong, null unknown) before a label and a rank for each true class. An
    address is 1 where it follows from `original` and `overlay`, patterns with `{index}` and `{rank}`, and else itself.
    """

    def __init__(self, original: str, overlay: str) -> None:
        self._paths = {"original": original, "overlay": overlay}
        self._labels: dict[str, int] = {}
        self._rows: list[msgspec.Raw] = []
        #: Whether the image of every card will stay as it is: none waits, runs, or has failed and may be retried.
        self.settled = True

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, card: dict[str, Any]) -> None:
        """One image more."""
        index = card["index"]
        self.settled &= card["state"] in ("succeeded", "cancelled")
        predictions: list[Any] = []
        for line in card["predictions"]:
            overlay = self._address("overlay", line["overlay"], index, line["rank"])
            box = line["box"] or (None,) * 4
            predictions += (
                line["rank"],
                self._label(line["label"]),
                line["probability"],
                overlay,
                int(line["flat"]),
                *box,
            )
        row = [
            index,
            card["source"],
            STATES.index(card["state"]),
            card["width"],
            card["height"],
            self._address("original", card["original"], index, 0),
            predictions,
            self._truth(card.get("truth")),
        ]
        more = {name: card[name] for name in ("id", "error", "warnings") if card.get(name)}
        self._rows.append(msgspec.Raw(msgspec.json.encode([*row, more] if more else row)))

    def data(self) -> dict[str, Any]:
        """What the page's script takes."""
        return {"labels": list(self._labels), "rows": self._rows, "paths": self._paths}

    def _label(self, label: str) -> int:
        return self._labels.setdefault(label, len(self._labels))

    def _truth(self, truth: dict[str, Any] | None) -> Any:
        if truth is None:
            return 0
        correct = truth["correct"]
        pairs = zip(map(self._label, truth["labels"]), truth["ranks"], strict=False)
        return [None if correct is None else int(correct), *(value for pair in pairs for value in pair)]

    def _address(self, kind: str, address: str | None, index: int, rank: int) -> str | int:
        pattern = self._paths[kind].replace("{index}", str(index)).replace("{rank}", str(rank))
        return 1 if address and address == pattern else address or 0
