"""What the user says of an image, on its way through the worker: asked for with it, compared with the answer."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from shared.checks.only import Only, parse_only
from shared.contract import ImageRef, Options, PredictedClass, TruthRecord
from shared.errors import ImageError, UsageError
from worker.core.types import Explanation, ImageOptions

T = TypeVar("T")


def options_of(ref: ImageRef, options: Options) -> Options:
    """The options of this image: those of its job, unless the user said something of the image alone."""
    if ref.truth is UNSET and ref.classes is UNSET:
        return options
    own = msgspec.structs.asdict(options)
    if ref.classes is not UNSET:
        own |= {"classes": ref.classes, "min_probability": UNSET}
    truth = None if ref.truth is UNSET else (ref.truth,) if isinstance(ref.truth, int) else ref.truth
    return ImageOptions(**own, truth=truth)


def drawn(options: Options, explanation: Explanation) -> bool:
    """Whether the job draws this image. ImageError for a wish that no producer checked."""
    if not options.only:
        return True
    try:
        return _is_meant(parse_only(options.only), explanation)
    except (UsageError, ValueError) as error:
        raise ImageError("inference", f"invalid only {options.only[:80]!r}: {error}") from None


def _is_meant(only: Only, explanation: Explanation) -> bool:
    judgement = explanation.judgement
    if only.wrong:
        return judgement is not None and not judgement.correct
    best = [(each.class_index, each.probability) for each in explanation.classes if each.rank == 1]
    predicted = [(each.class_index, each.probability) for each in judgement.predicted] if judgement else best
    if only.label is not None:
        true = [each.class_index for each in judgement.true] if judgement else []
        return int(only.label) in {*true, *(index for index, _ in predicted + best)}
    shares = [share for _, share in predicted] + [each.probability for each in explanation.classes]
    return only.below is not None and max(shares, default=0.0) < only.below


def compared(ref: ImageRef, explanation: Explanation, labels: Sequence[str]) -> TruthRecord | UnsetType:
    """The user's words beside the network's; nothing where the user said neither a label nor a box."""
    judgement = explanation.judgement
    if judgement is None:
        return UNSET if ref.boxes is UNSET else TruthRecord(boxes=ref.boxes)
    several, true = isinstance(ref.truth, tuple), judgement.true

    def as_given(values: list[T]) -> T | tuple[T, ...]:
        return tuple(values) if several else values[0]

    return TruthRecord(
        label=as_given([labels[each.class_index] for each in true]),
        class_index=as_given([each.class_index for each in true]),
        rank=as_given([each.rank for each in true]),
        probability=as_given([each.probability for each in true]),
        correct=judgement.correct,
        predicted=tuple(
            PredictedClass(class_index=each.class_index, label=labels[each.class_index], probability=each.probability)
            for each in judgement.predicted
        ),
        boxes=ref.boxes,
    )
