"""Write `.env` with random secrets for docker-compose.yml. Never touches a file that exists.

`python3 deploy/compose_env.py [PATH]`, with nothing installed. The same file leads the `camq` command on this
machine to the services: `set -a; . ./.env; set +a`.
"""

import os
import secrets
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def text() -> str:
    """The file's lines. Hexadecimal, so that no value needs quoting in a shell, in compose or in a URL.

    The webhook secret is read as base64, to which hexadecimal digits belong as well: 64 of them are a key of 48 bytes.
    """
    password = secrets.token_hex(24)
    return f"""\
# Secrets of docker-compose.yml, and the way to its services from this machine.
REDIS_PASSWORD={password}
CAMQ_REDIS_URL=redis://:{password}@127.0.0.1:6379/0
CAMQ_S3_ENDPOINT=127.0.0.1:8333
CAMQ_S3_ACCESS_KEY={secrets.token_hex(10)}
CAMQ_S3_SECRET_KEY={secrets.token_hex(24)}
CAMQ_WEBHOOK_SECRET={secrets.token_hex(32)}
FLOWER_PASSWORD={secrets.token_hex(12)}
GRAFANA_PASSWORD={secrets.token_hex(12)}
"""


def main(path: Path) -> int:
    """Exit status: 0 also when the file is there already, so that a Makefile may depend on it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"{path} is there already and stays as it is", file=sys.stderr)  # noqa: T201
        return 0
    with os.fdopen(descriptor, "w") as file:
        file.write(text())
    print(f"wrote {path}", file=sys.stderr)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".env"))
