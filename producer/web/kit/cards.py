"""What a page's script knows of an image: its record with addresses of pictures in place of object keys.

Names are as `wording.shown` writes them, so that none can move or hide the text around it.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from producer.formatting import shown
from shared.contract import ImageRecord, Options, PredictionRecord, Preprocessing, TruthRecord

#: A job has many pictures and few labels.
_label = lru_cache(10_000)(shown)


def card(record: ImageRecord, original: str | None, overlays: Sequence[str | None]) -> dict[str, Any]:
    """One image as JSON. `original` and `overlays` (one per prediction) are addresses, None without a picture."""
    error = record.error
    truth = {"truth": _truth(record.truth)} if record.truth and record.truth.label is not None else {}
    warnings = {"warnings": [shown(warning.message) for warning in record.warnings]} if record.warnings else {}
    return {
        "index": record.index,
        "source": shown(record.source),
        "id": shown(record.id) if record.id else None,
        "state": record.state.value,
        "width": record.width,
        "height": record.height,
        "original": original,
        "predictions": [_bar(line, at) for line, at in zip(record.predictions, overlays, strict=True)],
        "error": {"code": error.code, "message": shown(error.message)} if error else None,
        **truth,
        **warnings,
    }


def fit(options: Options, own: Preprocessing | None = None) -> str:
    """How an overlay lies over its original.

    `over`: it covers the same ground. `apart`: it shows the centre crop that the network saw, whose place in
    the original only the worker knows, so that it is shown for itself. `own` is how the model's pictures are prepared
    where the job does not say.
    """
    way = options.resize or (own.resize if own else "squash")
    return "apart" if options.overlay == "input" and way != "squash" else "over"


def _truth(truth: TruthRecord) -> dict[str, Any]:
    """The true classes, the rank of each, and whether the answer was right."""
    labels = truth.label if isinstance(truth.label, tuple) else (truth.label or "",)
    ranks = truth.rank if isinstance(truth.rank, tuple) else (truth.rank,)
    return {"labels": list(map(_label, labels)), "ranks": list(ranks), "correct": truth.correct}


def _bar(line: PredictionRecord, overlay: str | None) -> dict[str, Any]:
    return {
        "rank": line.rank,
        "label": _label(line.label),
        # Six digits: more would be noise, and the page carries one per prediction.
        "probability": round(line.probability, 6),
        "overlay": overlay,
        "box": line.box,
        "flat": line.flat,
    }
