"""Which model a request means."""

import pytest

from producer.submission.model_choice import resolve
from shared.contract import ModelCard
from shared.errors import UsageError

ONE, TWO, OTHER = "net@aaaaaaaaaaaa", "net@bbbbbbbbbbbb", "other@cccccccccccc"


class Shelf:
    """A catalogue in memory: models, and whether each is served."""

    def __init__(self, **_: object) -> None:
        self.served: dict[str, bool] = {}

    def models(self) -> dict[str, bool]:
        return self.served

    def card(self, model: str) -> ModelCard | None:
        card = ModelCard(model=model, labels=("a",), input_size=32, methods=("cam",))
        return card if model in self.served else None


def meant(wanted: str | None, **served: bool) -> tuple[str, bool]:
    shelf = Shelf()
    shelf.served = {{"one": ONE, "two": TWO, "other": OTHER}[name]: live for name, live in served.items()}
    card, live = resolve(shelf, wanted)
    return card.model, live


def test_without_a_name_the_one_model_that_is_served_is_meant() -> None:
    """Models that were served once do not count beside it."""
    assert meant(None, one=True, two=False, other=False) == (ONE, True)


def test_a_name_means_the_one_model_served_under_it() -> None:
    """Another model does not get in the way."""
    assert meant("net", one=True, two=False, other=True) == (ONE, True)


def test_a_full_name_is_never_ambiguous() -> None:
    """It names weights and labels."""
    assert meant(TWO, one=True, two=True) == (TWO, True)


@pytest.mark.parametrize("wanted", ["net", OTHER, None])
def test_a_known_model_that_nobody_serves_is_taken_and_said_to_be_idle(wanted: str | None) -> None:
    """The job waits for a worker."""
    served = {"other": False} if wanted == OTHER else {"one": False}

    assert meant(wanted, **served)[1] is False


@pytest.mark.parametrize(("wanted", "says"), [("net", "'net' is ambiguous"), (None, "--model is needed")])
def test_two_candidates_are_refused_by_name(wanted: str | None, says: str) -> None:
    """Guessing would answer with the wrong network."""
    with pytest.raises(UsageError, match=says) as caught:
        meant(wanted, one=True, two=True)

    assert f"{ONE}, {TWO}" in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "served", "says"),
    [
        (None, {}, r"no worker has offered a model yet: start a worker with `camq worker --model resnet18`"),
        ("resnet50", {"one": True}, r"no model 'resnet50': known: net@a.*`camq worker --model resnet50`"),
        ("othr", {"other": False}, r"no model 'othr' \(did you mean other\?\): .*`camq worker --model other\.toml`"),
        ("resnet81", {"one": True}, r"no model 'resnet81': .*`camq worker --model resnet18`"),
        ("othr", {"other": True, "one": True}, r"did you mean other\?\): known: net@\w+, other@\w+$"),
        ("net@aaaaaaaaaaab", {"one": True}, rf"did you mean {ONE}\?\): known: {ONE}$"),
    ],
)
def test_an_unknown_model_is_refused_with_the_nearest_and_how_to_serve_the_one_that_was_meant(
    wanted: str | None, served: dict[str, bool], says: str
) -> None:
    """Whoever mistyped a model that is served needs no worker; whoever asks for another one needs that."""
    with pytest.raises(UsageError, match=says):
        meant(wanted, **served)


def test_a_model_of_the_users_own_is_no_mistyped_architecture() -> None:
    """It was served before; ResNet18 as published would be another network."""
    shelf = Shelf()
    shelf.served = {"resnet18_pets@aaaaaaaaaaaa": False}
    with pytest.raises(UsageError, match=r"did you mean resnet18_pets.*`camq worker --model resnet18_pets\.toml`"):
        resolve(shelf, "resnet18_pet")


def test_of_many_models_the_served_and_newest_are_named() -> None:
    """Each training adds one; an error is read by people."""
    shelf = Shelf()
    shelf.served = {f"net{number}@{number:012x}": number == 50 for number in range(60)}
    with pytest.raises(UsageError, match=r"known: net0@.*, net50@.* and 50 more; start") as caught:
        resolve(shelf, "zzz")

    assert str(caught.value).count("@") == 10


def test_a_network_of_another_size_is_no_mistyped_one() -> None:
    """A worker for resnet18 does not help who wants resnet50."""
    shelf = Shelf()
    shelf.served = {"resnet18@aaaaaaaaaaaa": True}
    with pytest.raises(UsageError, match=r"no model 'resnet50': .*`camq worker --model resnet50`"):
        resolve(shelf, "resnet50")
    with pytest.raises(UsageError, match=r"'restnet18' \(did you mean resnet18\?\)"):
        resolve(shelf, "restnet18")
