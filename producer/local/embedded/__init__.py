"""The embedded servers: a real Redis-protocol server and a real S3 server, as child processes."""

from producer.local.embedded.env_file import write_variables
from producer.local.embedded.stack import Stack
from shared.processes.child import Spec
from shared.processes.supervisor import Supervisor

__all__ = ["Spec", "Stack", "Supervisor", "write_variables"]
