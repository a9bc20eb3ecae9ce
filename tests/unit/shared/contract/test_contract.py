"""Messages and options, refused unless they are right."""

import pytest

from shared.contract import ChunkMessage, ImageRef, Options, decode, decode_lines, encode, encode_lines
from shared.errors import MessageError, NewerSchemaError


def test_a_message_survives_the_way_through_json() -> None:
    """What was sent is what arrives, and its task id names job, chunk and attempt."""
    message = ChunkMessage(job="20261123-1", chunk="000004", attempt=2)

    assert decode(encode(message), ChunkMessage) == message
    assert message.task_id == "20261123-1.000004.2"


@pytest.mark.parametrize(
    "raw",
    [
        b"\x80\x04\x95pickle",
        b"{}",
        b'{"job": "../../etc", "chunk": "0", "attempt": 1}',
        b'{"job": "a", "chunk": "0/../1", "attempt": 1}',
        b'{"job": "a", "chunk": "0", "attempt": 0}',
        b'{"job": "a", "chunk": "0", "attempt": "1; FLUSHALL"}',
        b'[{"job": "a"}]',
        b"\xff\xfe",
        b"",
    ],
)
def test_a_malformed_message_is_refused(raw: bytes) -> None:
    """Nothing is guessed: ids that could leave their folder, wrong types, other formats."""
    with pytest.raises(MessageError):
        decode(raw, ChunkMessage)


def test_a_newer_message_is_left_for_who_knows_it() -> None:
    """Its fields may mean something else, so it is neither refused nor read."""
    with pytest.raises(NewerSchemaError, match="version 99"):
        decode(b'{"schema_version": 99, "task": {"new": true}}', ChunkMessage)


@pytest.mark.parametrize("fields", [{"top_k": 0}, {"alpha": 1.5}, {"method": "magic"}, {"overlay_size": 1}, {"nme": 1}])
def test_an_option_outside_its_values_is_refused(fields: dict[str, object]) -> None:
    """Also an option that does not exist: a typo must not pass as a default."""
    with pytest.raises(MessageError):
        decode(encode(fields), Options)


def test_references_are_lines() -> None:
    """Names with newlines, quotes and emoji stay one line each."""
    refs = [ImageRef(index=i, key="inputs/a", source=name) for i, name in enumerate(["a\nb", 'q"u', "🐈", "../x"])]
    raw = encode_lines(refs)

    assert raw.count(b"\n") == 4
    assert decode_lines(raw, ImageRef) == refs
