"""Which tensor of a checkpoint is which of an architecture: names compared as trees, with their shapes.

Trainers put keys and prefixes around a network's names, wrappers in the middle of them, and call a layer `shortcut`
where another says `downsample`. What stays the same is the tree below: the children of each module, in their order, and
the shapes of their tensors.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

Shape = tuple[int, ...]
#: What trainers call copies of a network that they do not train themselves.
AVERAGED = re.compile(r"(^|[._])(ema|swa|averaged?|shadow|teacher)([._]|$)|(^|[._])(ema|swa)|ema$", re.IGNORECASE)


@dataclass(slots=True)
class Node:
    """A module, or a tensor: then `shape` is given. `name` is its whole name."""

    name: str
    shape: Shape | None = None
    children: dict[str, "Node"] = field(default_factory=dict)

    def tensors(self) -> list["Node"]:
        """Every tensor below, itself included, in order."""
        own = [self] if self.shape is not None else []
        return own + [tensor for child in self.children.values() for tensor in child.tensors()]


def tree(shapes: Mapping[str, Shape]) -> Node:
    """The tree of tensors by their dotted names. Counters of batches, which mean nothing later, are left out."""
    root = Node("")
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            continue
        node = root
        for part in name.split("."):
            whole = f"{node.name}.{part}" if node.name else part
            node = node.children.setdefault(part, Node(whole))
        node.shape = shape
    return root


@dataclass(frozen=True)
class Fit:
    """`names` lead from the architecture's names to the checkpoint's; `missing` have none."""

    names: dict[str, str]
    missing: tuple[str, ...]

    @cached_property
    def root(self) -> str:
        """What all of the checkpoint's names begin with beyond the architecture's, with its dot; "" for nothing."""
        if not self.names:
            return ""
        first, second = next(iter(self.names.items()))
        ours, theirs = first.split("."), second.split(".")
        while ours and theirs and ours[-1] == theirs[-1]:
            ours.pop()
            theirs.pop()
        if ours and ours[0] in theirs:
            theirs = theirs[: theirs.index(ours[0])]  # a wrapper in the middle
        elif ours:
            theirs = theirs[: max(len(theirs) - len(ours), 0)]  # its layers are called otherwise
        return "".join(f"{part}." for part in theirs)


class Matcher:
    """Fits architectures into one checkpoint."""

    def __init__(self, shapes: Mapping[str, Shape], loose: Iterable[str] = ()) -> None:
        """Tensors of the architecture in `loose` may have other sides than the checkpoint's, but as many."""
        self._file = tree(shapes)
        self._loose = frozenset(loose)

    def fit(self, wanted: Mapping[str, Shape]) -> Fit:
        """The best place for these tensors."""
        names = self._match(tree(wanted), self._file)
        missing = [name for name in wanted if name not in names and not name.endswith("num_batches_tracked")]
        return Fit(names, tuple(missing))

    def _match(self, ours: Node, theirs: Node) -> dict[str, str]:
        if ours.shape is not None:
            return {ours.name: theirs.name} if self._alike(ours, theirs) else {}
        names: dict[str, str] = {}
        left: dict[str, Node] = {}
        for part, child in ours.children.items():
            found = self._match(child, theirs.children[part]) if part in theirs.children else {}
            names |= found
            if not found:
                left[part] = child
        if not left:
            return names
        spare = {part: child for part, child in theirs.children.items() if part not in ours.children or part in left}
        inner = [self._match(Node(ours.name, None, left), child) for child in spare.values() if child.children]
        best = max(inner, key=lambda each: (len(each), not _is_averaged(each)), default={})
        renamed = self._renamed(left, spare)
        return names | (best if len(best) >= len(renamed) else renamed)

    def _renamed(self, left: dict[str, Node], spare: dict[str, Node]) -> dict[str, str]:
        """Children that are alike in all but their names: by their order where those are numbers, else where only one
        is alike."""
        if len(left) > 1 and spare and all(part.isdecimal() for part in spare) and not set(left) & set(spare):
            return self._in_order(list(left.values()), [spare[part] for part in sorted(spare, key=int)])
        names: dict[str, str] = {}
        for child in left.values():
            alike = [found for each in spare.values() if (found := self._same(child, each))]
            if len(alike) == 1:
                names |= alike[0]
        return names

    def _in_order(self, ours: list[Node], theirs: list[Node]) -> dict[str, str]:
        names: dict[str, str] = {}
        waiting = iter(theirs)
        for child in ours:
            found = next((found for each in waiting if (found := self._same(child, each))), None)
            if found is None:
                return names
            names |= found
        return names

    def _same(self, ours: Node, theirs: Node) -> dict[str, str]:
        """Every tensor below the one for that below the other, if names and shapes there are the same."""
        mine, other = ours.tensors(), theirs.tensors()
        if len(mine) != len(other):
            return {}
        for a, b in zip(mine, other, strict=True):
            if a.name.removeprefix(ours.name) != b.name.removeprefix(theirs.name) or not self._alike(a, b):
                return {}
        return {a.name: b.name for a, b in zip(mine, other, strict=True)}

    def _alike(self, ours: Node, theirs: Node) -> bool:
        if ours.shape == theirs.shape:
            return True
        loose = ours.name in self._loose and ours.shape is not None and theirs.shape is not None
        return (
            loose
            and len(ours.shape or ()) == len(theirs.shape or ())
            and (ours.shape or (0,))[0] == (theirs.shape or (0,))[0]
        )


def _is_averaged(names: Mapping[str, str]) -> bool:
    return any(AVERAGED.search(each) for each in list(names.values())[:1])


def below(names: Iterable[str], key: str) -> list[str]:
    """The names that lie under `key`: that begins them, or is one of their parts, or `ema` for any averaged copy."""
    whole = [name for name in names if f".{name}".find(f".{key}.") >= 0]
    return whole or [name for name in names if key == "ema" and AVERAGED.search(name)]


def grouped(names: Iterable[str], most: int = 6) -> list[str]:
    """Names for people: those of one key together where they are many, as `optimizer.* (186 tensors)`."""
    by_key: dict[str, list[str]] = {}
    for name in names:
        by_key.setdefault(name.partition(".")[0], []).append(name)
    shown: list[str] = []
    for key, own in by_key.items():
        shown += own if len(own) <= most else [f"{key}.* ({len(own)} tensors)"]
    return shown


def other_copies(ignored: list[str], fit: Fit, root: str) -> list[str]:
    """What else of the kind was there to choose."""
    averaged = [key.split(".") for key in ignored if AVERAGED.search(key)]
    if not averaged or len(averaged) < len(fit.names) // 2:
        return []
    parts = averaged[0]
    last = next(place for place, part in enumerate(parts) if AVERAGED.search(part))
    other = ".".join(parts[: last + 1])
    chosen = f"those under {root.rstrip('.')}" if root else "those without a key"
    return [f"of several sets of weights {chosen} were taken; averaged ones are there too: FILE#{other} takes them"]
