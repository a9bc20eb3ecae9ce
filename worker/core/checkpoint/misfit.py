"""What is said of a checkpoint that does not fit: what was found, what was tried, what to do next."""

from collections.abc import Mapping, Sequence

from worker.core.checkpoint.checkpoint import Checkpoint
from worker.core.checkpoint.fit import Shape
from worker.core.checkpoint.guess import guess

#: A few names show what kind of mismatch it is; a thousand hide it.
_NAMES_SHOWN = 4


def some(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    rest = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def nothing(checkpoint: Checkpoint) -> str:
    """Of a file without a tensor that can be used."""
    if checkpoint.refused:
        name, reason = next(iter(checkpoint.refused.items()))
        return f"{checkpoint.path}: {name}: {reason}"
    return (
        f"{checkpoint.path} holds no state dict: expected a mapping from names to tensors, bare or under a key; save "
        "one with torch.save(model.state_dict(), path)"
    )


def misfit(name: str, checkpoint: Checkpoint, shapes: Mapping[str, Shape], problem: str) -> str:
    """What was found, what was tried, what to do next."""
    other = guess(shapes)
    if other and other != name:
        classes = _classes(shapes)
        of = f" with {classes} classes" if classes else ""
        return (
            f"the weights in {checkpoint.path} do not fit {name}: these are the weights of a {other}{of}. "
            f"Give --model {other}"
        )
    refused = "".join(f"; {key}: {reason}" for key, reason in list(checkpoint.refused.items())[:1])
    whole = f"; it also holds a whole module ({checkpoint.index.module})" if checkpoint.index.module else ""
    held = ", ".join(f"{key} {tuple(shape)}" for key, shape in list(shapes.items())[:3])
    return (
        f"the weights in {checkpoint.path} do not fit {name}: {problem}{refused}. It holds {len(shapes)} tensors: "
        f"{held}, …{whole}. `camq inspect` shows what camq makes of it; name the architecture that they were trained "
        "with as the model, or give the folder whose config.json names it"
    )


def _classes(shapes: Mapping[str, Shape]) -> int | None:
    """The rows of the last matrix, which is the head's in most networks."""
    return next(
        (shape[0] for key, shape in reversed(list(shapes.items())) if len(shape) == 2 and "weight" in key), None
    )
