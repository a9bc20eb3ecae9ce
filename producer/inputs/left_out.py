"""What a submission passes over, counted by kind, so that it is said once."""

from pathlib import PurePath

#: Kinds that are counted apart; files in a folder of strangers may have as many endings as there are files.
MOST_KINDS = 40
_LONGEST_SUFFIX = 12
OTHER = "other files"


class LeftOut:
    """Counts by kind: a suffix as the first file of that kind spells it, or words."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._ways: dict[str, str] = {}
        self._spelled: dict[str, str] = {}

    def file(self, name: str, way: str = "") -> None:
        """A file was left out; `way` is what to do for files of its kind, if they are wanted."""
        suffix = PurePath(name).suffix
        fits = 1 < len(suffix) <= _LONGEST_SUFFIX and suffix.isprintable() and " " not in suffix
        self.kind(suffix if fits else "without a suffix" if not suffix else OTHER, way)

    def kind(self, kind: str, way: str = "") -> None:
        """One thing of this kind was left out."""
        kind = self._spelled.setdefault(kind.lower(), kind)
        if kind not in self._counts and len(self._counts) >= MOST_KINDS:
            kind = OTHER
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if way:
            self._ways.setdefault(kind, way)

    @property
    def counts(self) -> dict[str, int]:
        """How many of each kind, the most frequent first."""
        return dict(sorted(self._counts.items(), key=lambda pair: (-pair[1], pair[0])))

    def __str__(self) -> str:
        """`left out: 200 .HEIC (convert it: …), 13 .txt`, or nothing."""
        parts = [f"{n:,} {kind}{self._way(kind)}" for kind, n in self.counts.items()]
        return f"left out: {', '.join(parts)}" if parts else ""

    def _way(self, kind: str) -> str:
        return f" ({self._ways[kind]})" if kind in self._ways else ""
