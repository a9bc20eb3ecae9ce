"""The options of `submit` and `run`: how images are mapped and drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click
import msgspec

from producer.cli.values import Choice, Number, Whole, complete_colormaps
from shared.contract import FORMATS, LARGEST_INPUT, METHODS, PRIORITIES, SMALLEST_INPUT, Options

if TYPE_CHECKING:
    from producer.submission.submit import Request

F = TypeVar("F", bound=Callable[..., Any])
_TYPES = {field.name: field.type for field in msgspec.structs.fields(Options)}


def _choice(name: str) -> Choice:
    return Choice([str(value) for value in get_args(_TYPES[name])])


#: One list, so that the two commands cannot drift apart. The defaults are the contract's.
_DRAWING: tuple[Callable[[Any], Any], ...] = (
    click.option("--top-k", type=Whole(min=1), help="Best classes per image.  [default: 3]"),
    click.option("--classes", metavar="LIST", help='These classes instead, by index or label: 283,"tabby".'),
    click.option("--method", type=Choice(METHODS), help="How the map is made.  [default: cam]"),
    click.option("--target", type=_choice("target"), help="What the map explains.  [default: logit]"),
    click.option("--target-layer", metavar="NAME", help="Layer to hook.  [default: the model's last one]"),
    click.option("--scale", type=_choice("scale"), help="Normalise each map, or all of an image.  [default: each]"),
    click.option(
        "--colormap",
        metavar="NAME",
        shell_complete=complete_colormaps,
        help="Colours of the heatmap.  [default: jet]",
    ),
    click.option("--alpha", type=Number(0, 1), help="Opacity of the heatmap.  [default: 0.5]"),
    click.option("--resize", type=_choice("resize"), help="How a picture becomes square.  [default: squash]"),
    click.option(
        "--input-size", type=Whole(SMALLEST_INPUT, LARGEST_INPUT), help="Side of the input.  [default: the model's]"
    ),
    click.option("--overlay", type=_choice("overlay"), help="What the heat is laid over.  [default: original]"),
    click.option("--overlay-size", type=Whole(16, 16384), help="Longest side in pixels.  [default: 512]"),
    click.option("--format", type=Choice(FORMATS), help="File format of overlays.  [default: jpeg]"),
    click.option(
        "--box-threshold",
        type=Number(0, 1, min_open=True, max_open=True),
        help="Share of the maximum that is boxed.  [default: 0.2]",
    ),
    click.option("--heatmaps", is_flag=True, help="Store the small heatmaps as well."),
    click.option("--keep-maps", is_flag=True, help="Store the raw maps as well (NumPy archives)."),
)
_SUBMITTING: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--priority",
        type=Choice(PRIORITIES),
        help="Place in the queue.  [default: high for at most 16 images, else bulk]",
    ),
    click.option("--job-id", metavar="ID", help="Your own id; the same id and content again resumes or does nothing."),
    click.option("--name", metavar="TEXT", help="A name for people, shown by `status` and `jobs`."),
    click.option("--webhook", metavar="URL", help="Send the final status there, signed (see CAMQ_WEBHOOK_HOSTS)."),
    click.option(
        "--tag", "tags", metavar="TEXT", multiple=True, help="A word to find the job by, also in results; repeatable."
    ),
)


def job_options(function: F) -> F:
    """Adds every option above; `drawing` picks those that become `Options`."""
    for option in reversed(_DRAWING + _SUBMITTING):
        function = option(function)
    return function


def drawing(given: dict[str, Any]) -> dict[str, Any]:
    """The given options among the parameters of a command; a flag that is not set is not given."""
    return {name: value for name, value in given.items() if name in _TYPES and value not in (None, False)}


def asked(model: str | None, given: dict[str, Any]) -> Request:
    """The request behind the options."""
    from producer.submission.submit import Request

    return Request(
        model=model,
        options=drawing(given),
        priority=given["priority"],
        job_id=given["job_id"],
        name=given["name"],
        webhook=given["webhook"],
        tags=given["tags"],
    )
