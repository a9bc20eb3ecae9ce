"""Data sets as Pascal VOC has them: a folder of XML files, one for each picture, with what is there and where.

http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from producer.inputs.notes import Row, row_of
from shared.errors import UsageError

#: Annotations of one picture; the devkit's have a few kilobytes.
MOST_BYTES = 4 << 20
#: Where pictures lie beside the folder of annotations, or in it.
_PICTURES = ("JPEGImages", "images", "Images", "")


@dataclass(frozen=True, slots=True)
class PascalVoc:
    """Iterates over the pictures that the XML files of a folder name, by the files' names.

    The folder is `Annotations`, or has one. Pictures are in `JPEGImages` or `images` beside it, or among the XML files.
    Labels are the names of the objects, one or a list.
    """

    name: str

    def check(self) -> None:
        """Read all of it. UsageError with the file for what is wrong; it does not look for the pictures."""
        if not sum(1 for _ in self):
            raise UsageError(f"the folder {self.name} has no annotations: expected Pascal VOC's XML files (*.xml)")

    def __iter__(self) -> Iterator[Row]:
        folder = Path(self.name)
        inner = folder / "Annotations"
        folder = inner if inner.is_dir() else folder
        try:
            for path in sorted(folder.glob("*.xml")):
                yield _row(path)
        except OSError as error:
            raise UsageError(f"cannot read the folder {self.name}: {error.strerror}") from error


def _row(path: Path) -> Row:
    try:
        root = _parsed(path)
        file = root.findtext("filename", "").strip()
        if root.tag != "annotation" or not file:
            raise UsageError("expected <annotation> with a <filename>")
        objects = root.findall("object")
        names = list(dict.fromkeys(name for each in objects if (name := each.findtext("name", "").strip())))
        boxes = [box for each in objects if (box := _box(each)) is not None]
        label = names[0] if len(names) == 1 else names or None
        return row_of({"source": _picture(path, Path(file).name), "label": label, "box": boxes or None}, "source")
    except (UsageError, expat.ExpatError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from None


def _parsed(path: Path) -> Element:
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UsageError(f"it is larger than {MOST_BYTES:,} bytes, too large for the annotations of one picture")
    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refused
    parser.Parse(data, True)
    return builder.close()


def _refused(*_: object) -> NoReturn:
    raise UsageError("it has a <!DOCTYPE>, which camq does not accept in annotations: remove it")


def _box(found: Element) -> tuple[float, float, float, float] | None:
    """In camq's pixels: Pascal VOC counts them from 1, and its last ones are inside."""
    edges = [found.findtext(f"bndbox/{edge}") for edge in ("xmin", "ymin", "xmax", "ymax")]
    if None in edges:
        return None
    x0, y0, x1, y1 = (float(edge or "") for edge in edges)
    return x0 - 1, y0 - 1, x1, y1


def _picture(annotations: Path, name: str) -> str:
    folder = annotations.parent
    beside = [folder.parent / each / name if each else folder / name for each in _PICTURES]
    return str(next((path for path in beside if path.is_file()), beside[0]))
