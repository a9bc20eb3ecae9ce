"""How jobs and results look in a notebook: a few lines of HTML that need no style sheet and no script."""

from __future__ import annotations

import io
from base64 import b64encode
from html import escape
from typing import TYPE_CHECKING

from producer.formatting import duration, outcome, rate, share
from shared.text import visible

if TYPE_CHECKING:
    from producer.results.objects import ImageResult, Prediction
    from shared.contract import JobStatus

#: A notebook keeps every output in its file, so pictures are few and small.
MOST_OVERLAYS = 5
LONGEST_SIDE = 224
_COLOURS = {"succeeded": "#15803d", "failed": "#b91c1c", "cancelled": "#6b7280", "running": "#1d4ed8"}


def image_html(result: ImageResult) -> str:
    """The source's name and state, then the best overlays side by side, or why there are none."""
    called = f"<b>{_text(result.source)}</b>{f' {_text(result.id)}' if result.id else ''}"
    head = f"<div>{called} <span style='opacity:.7'>{_text(result.state)}</span></div>"
    if result.error:
        return f"<div>{head}<div>{_text(result.error.code)}: {_text(result.error.message)}</div></div>"
    if any(prediction.overlay_key is None for prediction in result.predictions):
        labels = ", ".join(f"{each.label} {share(each.probability)}" for each in result.predictions[:MOST_OVERLAYS])
        return f"<div>{head}<div>{_text(labels)} (not drawn)</div></div>"
    shown = "".join(_figure(prediction) for prediction in result.predictions[:MOST_OVERLAYS])
    more = len(result.predictions) - MOST_OVERLAYS
    rest = f"<div style='opacity:.7'>… and {more} more</div>" if more > 0 else ""
    return f"<div>{head}<div style='display:flex;flex-wrap:wrap;gap:12px'>{shown}</div>{rest}</div>"


def job_html(status: JobStatus) -> str:
    """Id, state, a bar of what became of the images, and how fast."""
    total = max(status.total, 1)
    bar = "".join(
        f"<div style='width:{100 * getattr(status, name) / total:.2f}%;background:{colour}'></div>"
        for name, colour in _COLOURS.items()
    )
    facts = [f"{status.total:,} images: {outcome(status)}"]
    if status.images_per_second:
        facts.append(rate(status.images_per_second))
    if status.eta_s is not None:
        facts.append(f"{duration(status.eta_s)} left")
    named = "".join(f" {_text(word)}" for word in (status.name, *status.tags) if word)
    return (
        f"<div><b>job {_text(status.job)}</b>{named} <span style='opacity:.7'>{_text(status.state)},"
        f" {_text(status.model)}</span>"
        f"<div style='display:flex;width:320px;height:6px;margin:4px 0;background:#d1d5db'>{bar}</div>"
        f"<div>{_text(' · '.join(facts))}</div></div>"
    )


def _figure(prediction: Prediction) -> str:
    label = _text(f"{prediction.rank}. {prediction.label} {share(prediction.probability)}")
    return (
        f"<figure style='margin:0'><img src='{_data_uri(prediction)}' alt='overlay of {label}'"
        f" style='max-width:{LONGEST_SIDE}px'><figcaption>{label}</figcaption></figure>"
    )


def _data_uri(prediction: Prediction) -> str:
    """The overlay drawn again, so that its size has a limit whatever was asked of the job."""
    picture = prediction.overlay().convert("RGB")
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{b64encode(buffer.getvalue()).decode()}"


def _text(text: str) -> str:
    return escape(visible(str(text)))
