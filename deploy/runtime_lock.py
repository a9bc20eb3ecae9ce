"""Print the part of requirements.lock that the image needs: `dependencies`, some extras, Flower; hashes kept.

Standard library only, because it runs in a bare build stage. `--without-torch` leaves out torch and what only
its CUDA builds need; `--torch-only` prints `torch==… torchvision==…` and nothing else. `--extras=timm,transformers`
adds further extras.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_TORCH = ("torch", "torchvision")
#: One image is worker, exporter, live page, HTTP API and command.
EXTRAS = ("worker", "heic", "dicom", "tiff", "serve", "tracing")
_MORE = "--extras="
#: Celery's own page, which no room of ours imports.
TOOLS = ("flower",)
_CUDA = re.compile(r"(nvidia|cuda|triton)\b")


def runtime(lock: str, pyproject: str, extras: Sequence[str] = EXTRAS, tools: Sequence[str] = TOOLS) -> dict[str, str]:
    """Package → its lines in the lock, for all that the image needs."""
    entries: dict[str, str] = {}
    for entry in re.findall(r"^\w.*(?:\n\s.*)*", lock, re.MULTILINE):
        # A package is there twice where systems or Pythons need different versions; markers tell which.
        entries[_name(entry)] = "\n".join(filter(None, (entries.get(_name(entry)), entry)))
    project = tomllib.loads(pyproject)["project"]
    roots = [*project["dependencies"], *tools]
    roots += [need for extra in extras for need in _needs(project["optional-dependencies"], extra)]
    needed = {_name(requirement) for requirement in roots}
    parents = {name: _parents(entry) for name, entry in entries.items()}
    while more := {name for name, via in parents.items() if name not in needed and via & needed}:
        needed |= more
    if missing := needed - entries.keys():
        raise SystemExit(f"not in the lock: {sorted(missing)}")
    return {name: entry for name, entry in entries.items() if name in needed}


def _needs(optional: Mapping[str, Sequence[str]], extra: str) -> Iterator[str]:
    """The requirements of an extra; `camq[ui]` among them stands for those of another one."""
    for need in optional.get(extra, ()):
        if other := re.fullmatch(r"camq\[(\w+)\]", need):
            yield from _needs(optional, other[1])
        else:
            yield need


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[._-]+", "-", found[0]).lower() if found else ""


def _parents(entry: str) -> set[str]:
    """Who needs an entry, from its `# via` comment: one name behind it, or one in each comment line below."""
    return {_name(name) for name in re.findall(r"^\s+#\s+(?:via)?[ \t]*(\S+)", entry, re.MULTILINE)}


def main(arguments: list[str]) -> None:
    """Print what is asked for."""
    lock = (ROOT / "requirements.lock").read_text()
    pyproject = (ROOT / "pyproject.toml").read_text()
    more = " ".join(each.removeprefix(_MORE) for each in arguments if each.startswith(_MORE)).replace(",", " ").split()
    known = tomllib.loads(pyproject)["project"]["optional-dependencies"]
    if unknown := [name for name in more if name not in known]:
        raise SystemExit(f"no such extra: {', '.join(unknown)}; expected some of {', '.join(known)}")
    found = runtime(lock, pyproject, [*EXTRAS, *more])
    if "--torch-only" in arguments:
        print(*(found[name].split()[0] for name in _TORCH), sep="\n")  # noqa: T201
        return
    for name, entry in found.items():
        if "--without-torch" not in arguments or not (name in _TORCH or _CUDA.match(name)):
            print(entry)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
