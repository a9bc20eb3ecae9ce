"""Was it right, and where did the network look? A job's summary as both pages show it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from PIL import Image, ImageColor

from producer.formatting import shown
from producer.web.kit.summary import colours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.contract import ClassAccuracy, ClassHeat, Cluster, Confusion, JobSummary, Suspect

#: What a page lists: `camq summary --json` has more.
MOST_CLASSES, MOST_PAIRS, MOST_CLUSTERS, MOST_SUSPECTS = 200, 30, 12, 8


class Tiles(NamedTuple):
    """Mean and deviation of some maps as pictures, in the same colours for the same share of heat."""

    mean: str
    deviation: str
    alike: float
    border: float
    images: int


@dataclass(frozen=True, slots=True)
class Answers:
    """The summary with pictures of its maps and links into the gallery."""

    summary: JobSummary
    wrong: int
    #: For each image, how many percent of its heat lie on the border, plus 1; Base64.
    border: str
    #: Sentences about what cannot be shown.
    left_out: tuple[str, ...]
    clusters: list[tuple[Cluster, Tiles]]
    suspects: list[tuple[Suspect, Tiles | None]]
    confusions: list[tuple[Confusion, str, Tiles | None, Tiles | None]]
    #: Classes that images are of, and some of them, the least often found first.
    true_classes: int
    classes: list[tuple[ClassAccuracy, str, Tiles | None]]


def answers(summary: JobSummary, border: bytes, colormap: str, left_out: Sequence[str] = ()) -> Answers | None:
    """The summary of a job for a page; None where there is nothing to say, for want of ground truth and of maps."""
    if not summary.with_truth and not border:
        return None
    ramp = [ImageColor.getrgb(colour)[:3] for colour in colours(colormap)] or [(v, v, v) for v in range(256)]

    def tiles(heat: ClassHeat | None) -> Tiles | None:
        if heat is None:
            return None
        top = max(max(map(max, each)) for each in (heat.mean_map, heat.deviation_map)) or 1.0
        mean, deviation = (_picture(each, top, ramp) for each in (heat.mean_map, heat.deviation_map))
        return Tiles(mean, deviation, heat.alike, heat.border, heat.images)

    classes = sorted((one for one in summary.classes if one.support), key=lambda one: (one.recall or 0, -one.support))
    by_label = {one.label: one.heat for one in summary.classes}
    missing = list(left_out)
    if summary.with_truth and not summary.maps and not left_out:
        missing.append(
            "Mean maps, clusters and heat on the border are not shown: this job kept no maps. Submit the pictures "
            "again with --keep-maps."
        )
    return Answers(
        summary=summary,
        wrong=summary.with_truth - round((summary.top1 or 0) * summary.with_truth),
        border=base64.b64encode(border).decode(),
        left_out=tuple(missing),
        clusters=[(one, made) for one in summary.clusters[:MOST_CLUSTERS] if (made := tiles(one.heat))],
        suspects=[(one, tiles(by_label.get(one.label))) for one in summary.suspects[:MOST_SUSPECTS]],
        confusions=[
            (one, link(truth=one.truth, label=one.predicted), tiles(one.truth_heat), tiles(one.heat))
            for one in summary.confusions[:MOST_PAIRS]
        ],
        true_classes=len(classes),
        classes=[(one, link(truth=one.label), tiles(one.heat)) for one in classes[:MOST_CLASSES]],
    )


def link(**view: str | None) -> str:
    """The address of the gallery with these filters."""
    return "#" + urlencode({name: shown(value) for name, value in view.items() if value})


def _picture(rows: Sequence[Sequence[float]], top: float, ramp: Sequence[tuple[int, ...]]) -> str:
    """A small PNG, a pixel for each cell; a browser enlarges it."""
    picture = Image.new("P", (len(rows[0]), len(rows)))
    picture.putpalette([level for colour in ramp for level in colour])
    picture.putdata([round(max(0.0, min(1.0, value / top)) * (len(ramp) - 1)) for row in rows for value in row])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
