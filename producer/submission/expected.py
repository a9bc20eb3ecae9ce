"""What the user says is right, as the model that is asked understands it: labels become its classes."""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePath
from typing import TypeVar

from producer.inputs.notes import Labels, Truth, boxes
from producer.inputs.source import FileSource, ObjectSource, Source
from producer.inputs.urls.fetch import UrlSource
from shared.checks.classes import Classes
from shared.contract import ModelCard, Options, TruthFrom
from shared.errors import UsageError

T = TypeVar("T")
#: Where ground truth or classes of single pictures are given, as many pictures are looked at before the first upload;
#: each takes about 300 bytes.
MOST_CHECKED = 1_000_000
#: Between the labels of one picture in a text, for a model that finds several.
_BETWEEN = re.compile(r"[|;]")
#: Where a label came from, for somebody who did not think of it as one.
_HINTS = {"folders": ". --truth folders takes the folder that a picture lies in for its class"}


class Expected:
    """Gives each picture the true classes, boxes and classes to explain that its notes mean for one model.

    `asked` says where labels come from, and that each must fit: `labels` are those in the notes, `folders` adds the
    name of a picture's folder where its notes have none. Where nobody asked, a label or box that does not fit stays
    among the fields alone, and `left` says so. For one thread at a time.
    """

    def __init__(self, card: ModelCard, asked: TruthFrom | None, options: Options) -> None:
        self._card = card
        self._asked = asked
        self._needed = "--explain truth" if options.explain == "truth" else ""
        self._needed = self._needed or ("--only wrong" if options.only == "wrong" else "")
        self._classes = Classes(card)
        #: A job has many pictures and few labels.
        self._known: dict[tuple[type, object], int | tuple[int, ...] | str] = {}
        self._labelled = self._misfits = 0
        self._first: str = ""

    def __call__(self, source: Source) -> Source:
        """The same picture. UsageError for classes to explain that the model does not have and, where ground truth was
        asked for, for a label or box that does not fit."""
        notes = source.notes
        label = notes.label
        if label is None and self._asked == "folders":
            label = _folder(source)
        if label is None and notes.box is None and notes.classes is None:
            return source
        classes = None if label is None else self._fitting(source, lambda: self._true(label))
        where = () if notes.box is None else self._fitting(source, lambda: boxes(notes.box)) or ()
        explained = () if notes.classes is None else self._explain(source, notes.classes)
        self._labelled += classes is not None
        return replace(source, notes=replace(notes, truth=Truth(classes, where, explained)))

    def check_some(self) -> None:
        """UsageError when ground truth was asked for, or is needed, and no picture so far has any."""
        if (self._asked or self._needed) and not self._labelled:
            asked = f"--truth {self._asked}" if self._asked else self._needed
            raise UsageError(
                f"{asked}: no picture has a label that {self._card.model} knows. Give a table with a column `label`, or"
                f" folders that are named after the classes, with --truth folders{self._first and f' ({self._first})'}"
            )

    @property
    def left(self) -> str:
        """A sentence about the labels and boxes that did not fit; empty when all did."""
        if not self._misfits:
            return ""
        return (
            f"labels or boxes that do not fit {self._card.model}: {self._misfits:,}. They are kept under `fields` only."
            f" The first: {self._first}"
        )

    def _true(self, label: Labels) -> int | tuple[int, ...]:
        key = (type(label), label)
        if key not in self._known:
            try:
                self._known[key] = self._look_up(label)
            except UsageError as error:
                self._known[key] = str(error)  # an error that is raised again keeps the frames of each time alive
        found = self._known[key]
        if isinstance(found, str):
            raise UsageError(found)
        return found

    def _look_up(self, label: Labels) -> int | tuple[int, ...]:
        if not isinstance(label, tuple):
            try:
                return self._classes.index(label)
            except UsageError:
                if not isinstance(label, str) or not _BETWEEN.search(label):
                    raise
                label = tuple(part.strip() for part in _BETWEEN.split(label) if part.strip())
        if len(label) != 1 and self._card.outputs != "sigmoid":
            raise UsageError(
                f"{len(label)} labels of one picture, but {self._card.model} chooses exactly one class (softmax):"
                " give one label"
            )
        return tuple(dict.fromkeys(map(self._classes.index, label)))

    def _fitting(self, source: Source, find: Callable[[], T]) -> T | None:
        try:
            return find()
        except UsageError as error:
            if self._asked:
                raise UsageError(f"{source.name}: {error}{_HINTS.get(self._asked or '', '')}") from None
            self._misfits += 1
            self._first = self._first or f"{source.name}: {error}"
            return None

    def _explain(self, source: Source, classes: Labels) -> tuple[int, ...]:
        try:
            return self._classes.indices(classes)
        except UsageError as error:
            raise UsageError(
                f"{source.name}: {error}. The column `classes` says which classes to explain in a picture; call it"
                " something else if it means something else"
            ) from None


def _folder(source: Source) -> str | None:
    """The name of the folder that a picture lies in; None for one that lies in none."""
    # https://host/name and s3://bucket/name: neither a host nor a bucket is a class.
    in_no_folder = isinstance(source, UrlSource | ObjectSource) and source.name.count("/") <= 3
    if in_no_folder or source.name.startswith(("data:", "base64,")):
        return None
    name = os.path.abspath(source.name) if isinstance(source, FileSource) else source.name  # noqa: PTH100 - links stay
    return PurePath(name).parent.name or None
