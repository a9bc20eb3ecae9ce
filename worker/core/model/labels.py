"""Class names: from a file, or ImageNet's, or numbers."""

from pathlib import Path

from torchvision.models import ResNet18_Weights

from shared.errors import ModelError

IMAGENET_CLASSES = 1000
#: A file of names is read whole, and each name goes into the model's card and every result.
MOST_BYTES, MOST_LETTERS = 64 << 20, 1_000


def read_labels(path: Path | None, classes: int) -> tuple[str, ...]:
    """The names of `classes` classes, in index order.

    `path` holds one name per line, UTF-8. Without it a network of 1000 classes gets ImageNet's names, which
    ship inside torchvision, and any other "class 0", "class 1", …. Raises ModelError when the file cannot be
    read or its count is another.
    """
    if path is None:
        if classes == IMAGENET_CLASSES:
            return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
        return tuple(f"class {index}" for index in range(classes))
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ModelError(f"the labels file {path} has more than {MOST_BYTES:,} bytes; it needs one name per line")
        # Not `splitlines`, which also cuts at characters that a name may hold, U+2028 and vertical tabs among them.
        lines = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"the labels file {path} cannot be read: {error}") from error
    while len(lines) > classes and not lines[-1].strip():
        lines.pop()
    if len(lines) != classes:
        raise ModelError(
            f"the labels file {path} has {len(lines)} lines, but the weights are for {classes} classes; "
            "it needs one name per line, in index order"
        )
    names = tuple(line.strip() for line in lines)
    if number := next((number for number, name in enumerate(names, 1) if len(name) > MOST_LETTERS), None):
        raise ModelError(f"the labels file {path}, line {number}: a name has at most {MOST_LETTERS:,} characters")
    return names
