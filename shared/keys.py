"""Every Redis key, object key and lifetime, in one place.

Redis keys are templates: the ledger's Lua scripts get the same ones (`lua_constants`), so that a key is
spelled once. Object keys are pure functions of job, image, rank and attempt, so that writing twice is the
same as writing once.
"""

import re

DAY = 24 * 3600

#: A finished job stays readable for a week: long enough to come back after a holiday weekend.
FINISHED_TTL_S = 7 * DAY
#: An unfinished job may wait a season for a worker; renewed on each write.
UNFINISHED_TTL_S = 90 * DAY

#: The index of jobs outlives every job by a season, so that `gc` knows whose objects it finds.
INDEX_TTL_S = 2 * UNFINISHED_TTL_S
#: No access token is valid for longer than a year.
TOKEN_TTL_S = 365 * DAY

PREFIX = "camq:"
#: Options, totals, counters and times of a job (hash).
JOB = PREFIX + "job:%s"
#: One byte per image, its state's initial (string).
IMAGES = PREFIX + "job:%s:images"
#: Chunk id → record: images, state, attempt, charges, owner (hash of JSON).
CHUNKS = PREFIX + "job:%s:chunks"
#: Chunk id → digest of references that are being written, until the chunk is registered (hash).
RESERVED = PREFIX + "job:%s:reserved"
#: Chunks that wait in the ledger for a place in the broker's queue (sorted set by first image).
PENDING = PREFIX + "job:%s:pending"
#: Image index → error, capped (hash of JSON).
FAILURES = PREFIX + "job:%s:failures"
#: Jobs with pending chunks, served in turn: one list per model and priority.
TURNS = PREFIX + "turns:%s:%s"
#: `job/chunk` to be sent once more, because a worker lost or gave them back: one list per model, emptied first.
AGAIN = PREFIX + "again:%s"
#: `job/chunk` of pictures in quarantine to be sent once more, by the time when (sorted set).
LATER = PREFIX + "later:%s"
#: Counts the places given out per model, so that every fourth one is `bulk` (string).
PLACES = PREFIX + "places:%s"
#: `job/chunk` of messages sent and not yet claimed, by the time they count as lost (sorted set).
HINTS = PREFIX + "hints:%s:%s"
#: Deadline of the newest claimed hint (string): queues are first in, first out, so an older one was lost.
CLAIMED = PREFIX + "claimed:%s:%s"
#: `job/chunk` being worked on, by the end of the lease (sorted set).
LEASES = PREFIX + "leases"
#: When a reaper last looked (string): a long gap means that nobody could renew.
REAPED = PREFIX + "reaped"
#: The newest time from which a deadline was reckoned (string): a clock behind it was set back.
NEWEST = PREFIX + "newest"
#: Cancelled job → images looked at so far, until all of its queued images are cancelled (hash).
CANCELLING = PREFIX + "cancelling"
#: Jobs by creation time, among them such as expired lately (sorted set).
JOBS = PREFIX + "jobs"
#: Jobs that have no record any more, by creation time, until `gc` has deleted what they left (sorted set).
GONE = PREFIX + "gone"
#: How far workers have looked for expired jobs among all (string).
SWEPT = PREFIX + "swept"
#: Jobs whose end somebody is to be told, by the time when that is due, or its sender's lease ends (sorted set).
WEBHOOKS = PREFIX + "webhooks"
#: What a model offers: its labels and methods (string, JSON).
MODEL = PREFIX + "model:%s"
#: Models by the time they were published or, to a day, last served (sorted set).
MODELS = PREFIX + "models"
#: `worker|slots` of the live workers of a model, by the end of their heartbeat (sorted set).
SERVING = PREFIX + "serving:%s"
#: A worker's line in `camq workers` (string, JSON), gone when its heartbeat stops.
WORKER = PREFIX + "worker:%s"
#: A worker that was told to stop (string): what it leaves in hand is no death.
STOPPING = PREFIX + "stopping:%s"
#: Worker ids by the end of their heartbeat (sorted set).
WORKERS = PREFIX + "workers"
#: A token of the process that deletes the objects of one job (string).
DELETING = PREFIX + "deleting:%s"
#: A token of the `camq gc --now` that deletes inputs of any age (string): no job can begin meanwhile.
COLLECTING = PREFIX + "collecting"
#: An access token of the HTTP API by its id: scope, times, and the hash of its secret (string, JSON).
TOKEN = PREFIX + "token:%s"
#: Ids of access tokens by the time when they were made (sorted set).
TOKENS = PREFIX + "tokens"
#: What `camq doctor` writes and deletes at once, to find out whether it may (hash).
PROBE = PREFIX + "probe"
#: Publishes a word whenever a job moves (channel, not a key).
EVENTS = PREFIX + "events:%s"
#: Publishes the result of a job's lone picture when its chunk is committed (channel, not a key).
ANSWERS = PREFIX + "answers:%s"

#: Where input pictures lie in camq's bucket.
INPUTS = "inputs/"
_INPUT = re.compile(rf"{INPUTS}[0-9a-f]{{2}}/[0-9a-f]{{64}}")


def lua_constants() -> str:
    """All of the above as Lua locals, to stand before every script."""
    constants = {name: value for name, value in globals().items() if name.isupper() and not name.startswith("_")}
    return "".join(f"local {name} = {value!r}\n" for name, value in constants.items())


def queue(model: str, priority: str) -> str:
    """The broker's queue for one model and priority."""
    return f"camq.{model}.{priority}"


def explain_queue(name: str) -> str:
    """The broker's queue for other programs' calls, by a model's name alone: an outsider does not know its digest."""
    return f"camq.explain.{name}"


def input_object(sha256: str) -> str:
    """An input picture, stored once however often it is submitted."""
    return f"{INPUTS}{sha256[:2]}/{sha256}"


def is_input(key: str) -> bool:
    """Whether it is the key of an input picture."""
    return _INPUT.fullmatch(key) is not None


def job_prefix(job: str) -> str:
    """Everything that belongs to one job alone."""
    return f"jobs/{job}/"


def chunk_object(job: str, chunk: str) -> str:
    """The references of a chunk's images, one JSON line each."""
    return f"jobs/{job}/chunks/{chunk}.jsonl"


def results_object(job: str, chunk: str, attempt: int) -> str:
    """A chunk's results. The attempt is in the key, so a zombie cannot overwrite a newer answer."""
    return f"jobs/{job}/results/{chunk}-{attempt}.jsonl"


def chunk_maps_object(job: str, chunk: str, attempt: int) -> str:
    """The maps of a chunk's images, all in one NumPy archive beside their results."""
    return f"jobs/{job}/results/{chunk}-{attempt}.npz"


def overlay_object(job: str, index: int, rank: int, extension: str, output: str | None = None) -> str:
    """The overlay of one class of one image; an address when the job has an `output` of the user's own."""
    return f"{_drawn(job, output)}overlays/{index}-{rank}.{extension}"


def heatmap_object(job: str, index: int, rank: int, output: str | None = None) -> str:
    """The coloured map of one class."""
    return f"{_drawn(job, output)}heatmaps/{index}-{rank}.png"


def mask_object(job: str, index: int, rank: int, output: str | None = None) -> str:
    """Where the map of one class exceeds the threshold, in black and white."""
    return f"{_drawn(job, output)}masks/{index}-{rank}.png"


def maps_object(job: str, index: int, output: str | None = None) -> str:
    """The raw maps of one image (NumPy archive)."""
    return f"{_drawn(job, output)}maps/{index}.npz"


def maps_beside(overlay: str) -> str:
    """The raw maps of the image that has this overlay."""
    folder, _, name = overlay.rpartition("overlays/")
    return f"{folder}maps/{name.partition('-')[0]}.npz"


def output_note(job: str, output: str) -> str:
    """What the submission writes below the user's own prefix, to know that it may be written."""
    return f"{_drawn(job, output)}job.json"


def _drawn(job: str, output: str | None) -> str:
    """Where a job's pictures go. Each job has a level of its own, so that two with one `output` never meet."""
    return f"{output}/{job}/" if output else job_prefix(job)
