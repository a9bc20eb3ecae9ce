"""`healthcheck.py URL [STATUS]`: exit status 0 if URL answers with STATUS (200). The images have no curl.

Standard library only, for it runs every few seconds in every container.
"""

import sys
import urllib.error
import urllib.request

#: A probe's own limit is ten seconds.
_TIMEOUT_S = 8.0


def main(url: str, status: int = 200) -> int:
    """0 healthy, 1 not; what a service complains about goes to stderr, where `docker inspect` shows it."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - the operator's own address
            found = answer.status
    except urllib.error.HTTPError as error:
        found = error.code
        if found != status:
            sys.stderr.write(error.read(2000).decode("utf-8", "replace"))
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0 if found == status else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:3])))
