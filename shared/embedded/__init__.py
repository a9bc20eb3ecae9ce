"""The embedded servers: a real Redis-protocol server and a real S3 server, as child processes."""

from shared.embedded.envfile import write_env
from shared.embedded.process import Spec
from shared.embedded.stack import Stack
from shared.embedded.supervisor import Supervisor

__all__ = ["Spec", "Stack", "Supervisor", "write_env"]
