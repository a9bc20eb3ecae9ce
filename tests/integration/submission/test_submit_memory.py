"""What a submission keeps in memory while it goes on."""

import weakref
from collections.abc import Iterator

import msgspec
import pytest

from producer.inputs.source import BytesSource
from producer.services import Services
from producer.submission.request import HIGH_AT_MOST
from producer.submission.submit import Listener
from shared.config import Settings
from tests.support.jobs.submitting import CountingStore, pictures, send


class Heavy(BytesSource):
    """Says that it holds a hundred megabytes."""

    @property
    def held(self) -> int:
        return 100 << 20


@pytest.mark.usefixtures("worker")
def test_a_stream_of_pictures_is_not_collected_in_memory(services: Services) -> None:
    """A generator is read as it is uploaded, with a small look ahead."""
    taken: list[int] = []
    ahead: list[int] = []

    def stream() -> Iterator[bytes]:
        for number, data in enumerate(pictures(200)):
            taken.append(number)
            yield data

    send(services, stream(), Listener(progress=lambda done, _: ahead.append(len(taken) - done)))

    assert len(taken) == 200
    assert max(ahead) <= 40


@pytest.mark.usefixtures("worker")
def test_what_holds_data_is_let_go_of_when_it_is_uploaded(settings: Settings, store: CountingStore) -> None:
    """However many images a message may carry."""
    made: list[weakref.ref[Heavy]] = []
    alive: list[int] = []

    def stream() -> Iterator[Heavy]:
        for number, data in enumerate(pictures(100)):
            source = Heavy(f"{number}.png", data)
            made.append(weakref.ref(source))
            yield source

    def count(*_: object) -> None:
        alive.append(sum(source() is not None for source in made))

    with Services(msgspec.structs.replace(settings, chunk_size=256), store=store) as services:
        send(services, stream(), Listener(progress=count))

    assert (len(made), len(alive)) == (100, 100)
    assert max(alive) <= HIGH_AT_MOST + 2 * settings.io_threads + 8
