"""Settings: every `CAMQ_*` variable, declared once with its type, default and help."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Meta

from shared.errors import UsageError
from shared.redis_url import query_secrets, shown

PREFIX = "CAMQ_"
#: Settings whose value must never be printed.
SECRET = frozenset({"redis_url", "broker_url", "s3_access_key", "s3_secret_key", "webhook_secret"})
SECRET |= {"s3_session_token", "input_s3_access_key", "input_s3_secret_key", "input_s3_session_token"}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. `Settings.load()` reads them from the environment; tests construct them directly."""

    redis_url: Annotated[str, Meta(description="Redis for ledger, broker and task states")] = "redis://127.0.0.1:6379/0"
    broker_url: Annotated[
        str | None, Meta(description="another broker for the messages, such as amqp://; Redis keeps the ledger")
    ] = None
    s3_endpoint: Annotated[str, Meta(description="host:port of the S3 server")] = "127.0.0.1:9000"
    s3_access_key: Annotated[str, Meta(description="S3 access key")] = ""
    s3_secret_key: Annotated[str, Meta(description="S3 secret key")] = ""
    s3_session_token: Annotated[str, Meta(description="token of temporary S3 credentials")] = ""
    s3_secure: Annotated[bool, Meta(description="use TLS to the S3 server")] = False
    s3_region: Annotated[str, Meta(description="region of the bucket")] = "us-east-1"
    s3_addressing: Annotated[
        Literal["auto", "path", "virtual"],
        Meta(description="the bucket in the path or in the host's name; auto: as AWS and Aliyun want it, else path"),
    ] = "auto"
    s3_public_endpoint: Annotated[
        str, Meta(description="host:port that signed links have, with https:// before it or not; empty: S3_ENDPOINT")
    ] = ""
    input_s3_endpoint: Annotated[
        str, Meta(description="host:port of another S3 server, or account, for s3:// pictures read in place")
    ] = ""
    input_s3_access_key: Annotated[str, Meta(description="its access key; reading is enough")] = ""
    input_s3_secret_key: Annotated[str, Meta(description="its secret key")] = ""
    input_s3_session_token: Annotated[str, Meta(description="its token, of temporary credentials")] = ""
    input_s3_region: Annotated[str, Meta(description="its region")] = ""
    input_s3_secure: Annotated[bool | None, Meta(description="use TLS to it; unset: as to the S3 server")] = None
    bucket: Annotated[str, Meta(description="bucket that holds inputs and results")] = "camq"

    model: Annotated[
        str | None, Meta(description="worker: network to serve, or a model file (resnet18); producer: model to ask for")
    ] = None
    models: Annotated[
        str,
        Meta(description="fleet: networks (NAME or NAME=WEIGHTS), separated by spaces, each in a process of its own"),
    ] = ""
    weights: Annotated[
        str | None, Meta(description="checkpoint of the network; as FILE#KEY what lies under a key of it, such as ema")
    ] = None
    labels: Annotated[str | None, Meta(description="class names: one per line, `index,name` per line, or JSON")] = None
    device: Annotated[Literal["auto", "cpu", "cuda"], Meta(description="where the network runs")] = "auto"
    precision: Annotated[
        Literal["fp32", "bf16", "fp16", "int8"],
        Meta(
            description="of the network's weights and activations; maps are float32 whatever it is. int8 is for a CPU "
            "and needs CAMQ_CALIBRATION"
        ),
    ] = "fp32"
    calibration: Annotated[
        str | None,
        Meta(description="folder of pictures like those to come, on which int8 finds the range of each activation"),
    ] = None

    engine: Annotated[
        Literal["auto", "torch", "onnxruntime"],
        Meta(
            description="what runs the network; auto: ONNX Runtime on a CPU in fp32, captured graphs on CUDA; "
            "torch: the network as it is"
        ),
    ] = "auto"

    chunk_size: Annotated[
        Annotated[int, Meta(ge=1, le=256)] | None,
        Meta(description="images that one message carries; unset: 32, and 128 from a job's 8,193rd image on"),
    ] = None
    chunks_in_flight: Annotated[int, Meta(ge=1, le=64, description="chunks that one worker works on at once")] = 3
    max_batch_size: Annotated[int, Meta(ge=1, le=1024, description="images that go through the network at once")] = 16
    max_batch_delay_ms: Annotated[
        float,
        Meta(ge=0, le=10_000, description="how long a micro-batch waits for images already on their way"),
    ] = 20.0
    io_threads: Annotated[int, Meta(ge=1, le=256, description="parallel downloads, and parallel uploads")] = 8
    picture_processes: Annotated[
        int,
        Meta(
            ge=0,
            le=256,
            description="processes that decode and draw; 0 is one per core, shared under --all-devices",
        ),
    ] = 0
    torch_threads: Annotated[
        int, Meta(ge=0, le=256, description="threads of the network on a CPU; 0 is torch's own choice")
    ] = 0

    max_image_bytes: Annotated[int, Meta(ge=1, description="largest file of one picture, in bytes")] = 100_000_000
    max_image_pixels: Annotated[int, Meta(ge=1, description="largest picture, in pixels")] = 178_000_000

    input_prefixes: Annotated[
        str, Meta(description="s3:// prefixes, separated by spaces, that may be read in place; empty: any")
    ] = ""
    output_prefixes: Annotated[
        str, Meta(description="s3:// prefixes, separated by spaces, that jobs may have as their output; empty: any")
    ] = ""

    webhook_hosts: Annotated[
        str,
        Meta(description="host or host:port, separated by spaces, that webhooks may be sent to; empty: none"),
    ] = ""
    webhook_secret: Annotated[
        str, Meta(description="worker: signs webhooks; 24 to 64 random bytes in base64, `whsec_` before it or not")
    ] = ""

    decode_s: Annotated[float, Meta(gt=0, le=3600, description="seconds that one picture may take to decode")] = 20.0

    lease_s: Annotated[
        float,
        Meta(
            gt=0,
            le=3600,
            description="a chunk not renewed for this long is given to another worker; heartbeats follow from it",
        ),
    ] = 12.0
    drain_s: Annotated[
        float, Meta(ge=0, le=3600, description="how long a stopping worker goes on with the chunks in hand")
    ] = 8.0
    outage_limit: Annotated[
        float,
        Meta(ge=0, description="how long a worker waits for Redis or storage before it hands a chunk back"),
    ] = 600.0

    slots_dir: Annotated[
        str | None, Meta(description="folder of the device slots, shared by all workers of a machine")
    ] = None
    slots_per_gpu: Annotated[int, Meta(ge=1, le=64, description="worker processes that may share one GPU")] = 1
    device_memory: Annotated[
        float, Meta(gt=0, le=1, description="share of a GPU's memory that one worker may take")
    ] = 1.0
    slot_wait_s: Annotated[
        float, Meta(ge=0, description="how long a worker waits for a free device slot before it ends")
    ] = 60.0

    http_port: Annotated[
        int, Meta(ge=0, le=65535, description="port of /live, /ready and /metrics of a worker; 0 is none")
    ] = 0
    http_host: Annotated[str, Meta(description="address that this port listens on")] = "127.0.0.1"

    serve_hosts: Annotated[
        str,
        Meta(description="serve: further values of `Host` it answers to, such as a proxy's name, separated by spaces"),
    ] = ""
    serve_origins: Annotated[
        str, Meta(description="serve: origins, separated by spaces, whose pages may call the API (CORS); empty: none")
    ] = ""
    serve_input_prefixes: Annotated[
        str,
        Meta(
            description="serve: s3://, http:// and https:// prefixes, separated by spaces, that requests may name;"
            " empty: none. A URL never leads to a private network"
        ),
    ] = ""
    serve_requests_per_minute: Annotated[
        int, Meta(ge=1, le=1_000_000, description="serve: requests of one token in a minute, as each process counts")
    ] = 600
    serve_wait_s: Annotated[
        float, Meta(gt=0, le=3600, description="serve: longest wait for the answer of /v1/explain, in seconds")
    ] = 30.0

    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="least severe line logged")] = (
        "info"
    )
    log_format: Annotated[Literal["console", "json"], Meta(description="how log lines look")] = "console"

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> "Settings":
        """Settings from `CAMQ_*` variables (an empty one counts as unset), then `overrides` that are not None.

        A secret may also lie in a file, as orchestrators mount them: `CAMQ_S3_SECRET_KEY_FILE` names it.
        Raises UsageError that names the variable, the value's fault and the allowed values.
        """
        environ = os.environ if environ is None else environ
        known = {field.name for field in msgspec.structs.fields(cls)}
        values: dict[str, Any] = {}
        for name in known:
            raw = environ.get(PREFIX + name.upper(), "")
            if raw == "" and name in SECRET and (file := environ.get(f"{PREFIX}{name.upper()}_FILE")):
                raw = _from_file(f"{PREFIX}{name.upper()}_FILE", file)
            if raw != "":
                values[name] = raw
        values |= {name: value for name, value in overrides.items() if value is not None}
        unknown = values.keys() - known
        if unknown:
            raise TypeError(f"no such setting: {sorted(unknown)}")
        try:
            return msgspec.convert(values, cls, strict=False)
        except msgspec.ValidationError as error:
            reason, _, where = str(error).partition(" - at `$.")
            name = where.rstrip("`")
            raise UsageError(f"invalid {PREFIX}{name.upper()} {values[name]!r}: {_expected(name, reason)}") from None

    # What follows from the lease. A death is charged only if the worker's heartbeat is gone when its lease ends, and a
    # look for lost work that came late counts as an outage: free numbers could contradict each other.

    @property
    def heartbeat_s(self) -> float:
        """Between two heartbeats of a worker: 1 s for the lease of 12 s."""
        return self.lease_s / 12

    @property
    def heartbeat_ttl_s(self) -> float:
        """A worker silent for this long is not listed any more: 4.5 s for the lease of 12 s."""
        return self.lease_s * 3 / 8

    @property
    def reap_s(self) -> float:
        """Between two looks for lost work: 2 s for the lease of 12 s."""
        return self.lease_s / 6

    @property
    def hint_s(self) -> float:
        """A message not claimed for this long counts as lost, if its queue is empty: 10 s for the lease of 12 s."""
        return self.lease_s * 5 / 6

    def readable_in_place(self) -> tuple[str, ...]:
        """The prefixes of `input_prefixes`; a bare bucket ends at its slash, so that `s3://in` is not `s3://inner`."""
        return _prefixes(self.input_prefixes)

    def writable_outside(self) -> tuple[str, ...]:
        """The prefixes of `output_prefixes`, likewise."""
        return _prefixes(self.output_prefixes)

    def nameable_over_http(self) -> tuple[str, ...]:
        """The prefixes of `serve_input_prefixes`, likewise; without any, no request may name an address."""
        return _prefixes(self.serve_input_prefixes)

    def __repr__(self) -> str:
        """The settings that differ from their defaults, secrets hidden."""
        shown = self.environment() | {PREFIX + name.upper(): "***" for name in SECRET}
        return f"Settings({', '.join(f'{name}={value}' for name, value in shown.items())})"

    def environment(self) -> dict[str, str]:
        """The settings that differ from their defaults, as variables for a child process or a `camq.env`."""
        result = {}
        for field in msgspec.structs.fields(type(self)):
            value = getattr(self, field.name)
            if value != field.default:
                result[PREFIX + field.name.upper()] = str(value).lower() if isinstance(value, bool) else str(value)
        return result


def _expected(name: str, reason: str) -> str:
    """What a setting may be, in a user's words, from what msgspec says of its value."""
    hint = get_type_hints(Settings)[name]
    if get_origin(hint) is Literal:
        return f"expected one of {', '.join(get_args(hint))}"
    expected = reason.partition(", got")[0].replace("Expected", "expected").replace(" | null", "")
    for kind, words in (("`int`", "a whole number"), ("`float`", "a number"), ("`bool`", "true or false")):
        expected = expected.replace(kind, words)
    return expected


def _prefixes(text: str) -> tuple[str, ...]:
    return tuple(p if p.count("/") > 2 or p.endswith("://") else f"{p}/" for p in text.split())


def _from_file(variable: str, path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{variable}: cannot read {path}: {error}") from None


def secrets(settings: Settings) -> list[str]:
    """Values that must never be printed."""
    urls = (settings.redis_url, settings.broker_url or "")
    passwords = [urlsplit(url).password or "" for url in urls]
    hook = settings.webhook_secret
    passwords += [secret for url in urls for secret in query_secrets(url)]
    found = [settings.s3_secret_key, settings.s3_access_key, settings.s3_session_token]
    found += [settings.input_s3_secret_key, settings.input_s3_access_key, settings.input_s3_session_token]
    found += [hook, hook.removeprefix("whsec_")]
    found += [*passwords, *map(unquote, passwords)]
    return [value for value in dict.fromkeys(found) if value]


def redis_address(settings: Settings) -> str:
    """Where Redis is, without its password, for messages to people."""
    return shown(settings.redis_url)
