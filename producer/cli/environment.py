"""Variables that look like settings and are none: most often a mistyped name, whose value would go unnoticed."""

import os
from collections.abc import Iterator, Mapping

import msgspec

from shared.config import PREFIX, Settings
from shared.suggest import nearest

#: What the deployment's own files read.
_OTHERS = frozenset({"CAMQ_PUBLISH", "CAMQ_TAG"})
#: Kubernetes tells a pod of every service, such as `camq-exporter`, in variables that begin with its name.
_SERVICE = "SERVICE_HOST"


def unknown_variables(environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """A sentence for each, with the nearest setting's name."""
    known = [PREFIX + field.name.upper() for field in msgspec.structs.fields(Settings)]
    services = tuple(name.removesuffix(_SERVICE) for name in environ if name.endswith(_SERVICE))
    for name in sorted(environ.keys() - {*known, *_OTHERS}):
        if name.startswith(PREFIX) and not name.endswith("_FILE") and not name.startswith(services):
            found = nearest(name, known, most=1)
            yield f"{name} is no setting of camq and does nothing{f'; did you mean {found[0]}?' if found else ''}"
