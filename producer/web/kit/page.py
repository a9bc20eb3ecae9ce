"""Pages from templates: escaping, inlined style and script, and the policy that lets nothing else run."""

from __future__ import annotations

import re
import secrets
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec
from markupsafe import Markup

from producer.formatting import (
    count,
    duration,
    images_per_batch,
    milliseconds,
    moment,
    rate,
    shown,
    stage_lines,
)

if TYPE_CHECKING:
    from jinja2 import Environment

KIT = "producer.web.kit"
#: In the order in which they build on each other.
STYLES = ("tokens", "layout", "controls", "answers", "gallery", "viewer")
SCRIPTS = (
    *("dom", "address", "album", "model", "filters", "picture", "card", "labels", "grid", "viewer", "keyboard"),
    "gallery",
)
#: `import` lines tell a reader where a name comes from; inlined, the files are one module and need none.
_IMPORTS = re.compile(r"^import .*?;\n|^export (?=const|function|class|async)", re.MULTILINE | re.DOTALL)


def render(template: str, *, package: str = KIT, **values: Any) -> str:
    """The page from a template of `package`, or of the kit where that has none.

    Every value is escaped unless it is `Markup`; `nonce` is made here if it is not given. Templates see the package as
    `PACKAGE`, for its styles and scripts.
    """
    nonce = values.pop("nonce", None) or secrets.token_urlsafe(16)
    return _environment(package).get_template(template).render(nonce=nonce, **values)


def policy(nonce: str, *, images: str, connect: str = "'none'", form: str = "'none'") -> str:
    """A Content-Security-Policy: only what carries the nonce runs or styles, and nothing leaves the page."""
    own = f"'nonce-{nonce}'"
    return (
        f"default-src 'none'; script-src {own}; style-src {own}; img-src {images}; connect-src {connect};"
        f" form-action {form}; base-uri 'none'"
    )


def script_json(value: object) -> Markup:
    """JSON that is safe inside a `<script>` element: no `<` is left that could end it or open a comment."""
    text = msgspec.json.encode(value).decode()
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 - what a browser could read as markup was just replaced


def when(iso: str | None) -> Markup:
    """A moment in UTC; a script turns the text into the reader's own time zone, the tooltip stays."""
    return Markup('<time datetime="{0}" title="{1}">{1}</time>').format(iso, moment(iso)) if iso else Markup()


@cache
def style(*names: str, package: str = KIT) -> Markup:
    """Style sheets of a package, joined."""
    return Markup("\n".join(_text(package, f"css/{name}.css") for name in names))  # noqa: S704 - our own files


@cache
def script(*names: str, package: str = KIT) -> Markup:
    """Modules of a package as one, in this order."""
    parts = (_IMPORTS.sub("", _text(package, f"js/{name}.js")) for name in names)
    return Markup("\n".join(parts))  # noqa: S704 - our own files


def _text(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text("utf-8")


@cache
def _environment(package: str) -> Environment:
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in dict.fromkeys((package, KIT))]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "moment": when,
        "shown": shown,
        "duration": duration,
        "rate": rate,
        "counted": count,
        "milliseconds": milliseconds,
    }
    environment.filters |= {"stage_lines": stage_lines, "images_per_batch": images_per_batch}
    environment.filters["script_json"] = script_json
    environment.globals |= {"style": style, "script": script, "STYLES": STYLES, "SCRIPTS": SCRIPTS, "PACKAGE": package}
    environment.globals["policy"] = policy
    return environment
