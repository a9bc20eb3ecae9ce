"""Messages, options and references, right, wrong, random and mutated: a value of the right kind, or a refusal."""

import json
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contract import ChunkMessage, ImageRef, Options, decode, decode_lines, encode, encode_lines
from shared.errors import MessageError, NewerSchemaError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.fixed_dictionaries(
    {"job": JSON | st.text(max_size=70), "chunk": JSON | st.text(max_size=40), "attempt": JSON},
    optional={"schema_version": JSON},
)
KINDS = (ChunkMessage, Options, ImageRef)
SEEDED = settings(max_examples=100, derandomize=True, deadline=None, database=None)


def outcome(raw: bytes | str, kind: type) -> object:
    try:
        return decode(raw, kind)
    except (MessageError, NewerSchemaError):
        return None


def test_a_message_survives_the_way_through_json() -> None:
    """What was sent is what arrives, and its task id names job, chunk and attempt."""
    message = ChunkMessage(job="20261123-1", chunk="000004", attempt=2)

    assert decode(encode(message), ChunkMessage) == message
    assert message.task_id == "20261123-1.000004.2"


@SEEDED
@given(st.binary(max_size=60))
def test_random_bytes_are_refused(raw: bytes) -> None:
    """Nothing but the two errors of the contract comes out."""
    for kind in KINDS:
        outcome(raw, kind)


@SEEDED
@given(FIELDS)
def test_a_message_that_passes_has_ids_that_are_safe_in_keys_and_paths(fields: dict[str, object]) -> None:
    """Whatever the JSON: no separator, no dot, no glob character reaches Redis or storage."""
    message = outcome(json.dumps(fields), ChunkMessage)
    if isinstance(message, ChunkMessage):
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", message.job)
        assert re.fullmatch(r"[0-9a-z-]{1,32}", message.chunk)
        assert message.attempt >= 1


@pytest.mark.parametrize("seed", range(5))
def test_mutations_of_a_good_message_are_read_or_refused(seed: int) -> None:
    """Flipped, cut and doubled bytes."""
    rng = random.Random(seed)
    good = encode(ChunkMessage(job="20261123-abc", chunk="000001q2", attempt=3))
    for _ in range(300):
        raw = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(raw))
            match rng.randrange(3):
                case 0:
                    raw[place] ^= 1 << rng.randrange(8)
                case 1:
                    del raw[place : place + rng.randint(1, 5)]
                case _:
                    raw[place:place] = raw[place : place + 6]
            if not raw:
                break
        found = outcome(bytes(raw), ChunkMessage)
        assert found is None or isinstance(found, ChunkMessage)


@pytest.mark.parametrize("text", ["job\n", "a/b", "a.b", "", "x" * 65, "../a", "a b", "a*", "-a", "a:b", "ä"])
def test_a_job_id_that_could_lead_elsewhere_is_refused(text: str) -> None:
    """Ids become parts of keys in Redis and in storage."""
    with pytest.raises(MessageError):
        decode(json.dumps({"job": text, "chunk": "000000", "attempt": 1}), ChunkMessage)


@pytest.mark.parametrize("fields", [{"top_k": 0}, {"alpha": 1.5}, {"method": "magic"}, {"overlay_size": 1}, {"nme": 1}])
def test_an_option_outside_its_values_is_refused(fields: dict[str, object]) -> None:
    """Also an option that does not exist: a typo must not pass as a default."""
    with pytest.raises(MessageError):
        decode(encode(fields), Options)


@pytest.mark.parametrize("version", [2, 99])
def test_a_newer_version_is_told_from_nonsense(version: int) -> None:
    """Whatever its other fields look like: a worker that knows the version takes it."""
    with pytest.raises(NewerSchemaError, match=f"version {version} is newer"):
        decode(json.dumps({"schema_version": version, "anything": 1}), ChunkMessage)


def test_references_are_lines() -> None:
    """Names with newlines, quotes and emoji stay one line each."""
    refs = [ImageRef(index=i, key="inputs/a", source=name) for i, name in enumerate(["a\nb", 'q"u', "🐈", "../x"])]
    raw = encode_lines(refs)

    assert raw.count(b"\n") == 4
    assert decode_lines(raw, ImageRef) == refs


def test_references_are_read_whole_or_refused() -> None:
    """A line that is none refuses the file: half a chunk is no chunk."""
    good = encode(ImageRef(index=0, key="inputs/ab/abc"))
    with pytest.raises(MessageError):
        decode_lines(good + b"\n{broken\n", ImageRef)
    with pytest.raises(MessageError):
        decode_lines(b'{"index": -1}\n', ImageRef)
