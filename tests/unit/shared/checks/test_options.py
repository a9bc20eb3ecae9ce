"""Options are judged before anything is uploaded, and the message names what is allowed."""

from typing import Any

import pytest
from msgspec.structs import replace

from shared.checks.options import check_options
from shared.contract import ModelCard, Options, decode, encode
from shared.errors import UsageError
from tests.support.jobs.scripted_worker import CARD


def test_what_is_not_given_has_the_default_of_the_contract() -> None:
    """None means not given, so that a command can pass all its options on."""
    assert check_options(CARD, {"top_k": None, "alpha": 0.25}) == Options(alpha=0.25)


def test_a_transparent_overlay_is_a_png_unless_another_format_is_asked_for() -> None:
    """The default, JPEG, has no transparency."""
    assert check_options(CARD, {"overlay": "transparent"}).format == "png"
    assert check_options(CARD, {"overlay": "transparent", "format": "webp"}).format == "webp"


def test_what_newer_releases_added_is_left_out_of_a_message_while_nobody_asks_for_it() -> None:
    """So that older workers refuse only the jobs that they would answer otherwise."""
    added = ("smooth", "boxes", "masks", "mask_threshold", "caption")
    assert not [name for name in added if name.encode() in encode(check_options(CARD, {}))]
    assert check_options(CARD, {"heatmaps": "full"}).heatmaps == "full"
    assert decode(encode(check_options(CARD, {"heatmaps": "full"})), Options).heatmaps == "full"


def test_a_model_of_two_classes_has_no_third_best() -> None:
    """Who did not ask for three is not told about it."""
    assert check_options(replace(CARD, labels=("cat", "dog")), {}).top_k == 2
    assert check_options(replace(CARD, labels=("cat", "dog")), {"top_k": 9}).top_k == 2


@pytest.mark.parametrize(
    ("given", "indices"),
    [
        ("2", (2,)),
        ("2,tabby", (2,)),
        ('0, "tiger cat"', (0, 3)),
        ("TABBY,goldfish", (2, 1)),
        ('"salt, sea",0', (6, 0)),
        (["tabby", 0], (2, 0)),
        (3, (3,)),
    ],
)
def test_classes_are_indices_or_labels(given: Any, indices: tuple[int, ...]) -> None:
    """In the order asked for, each once; a label with a comma goes into quotes."""
    assert check_options(CARD, {"classes": given}).classes == indices


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"top_k": 0}, "invalid top_k 0: expected a whole number of at least 1"),
        ({"top_k": 5, "min_probability": 0.5}, "min_probability takes the place of top_k and of classes"),
        ({"min_probability": 1.5}, "invalid min_probability 1.5: expected a number between 0 and 1"),
        ({"top_k": "three"}, "top_k 'three'"),
        ({"range": "all"}, "invalid range 'all': expected full, data, or LOW:HIGH with the lower number first"),
        ({"range": "5:1"}, "invalid range '5:1'"),
        ({"range": "1:1"}, "invalid range '1:1'"),
        ({"range": "1:2:3"}, "invalid range '1:2:3'"),
        ({"range": "nan:1"}, "invalid range 'nan:1'"),
        ({"range": "0:inf"}, "invalid range '0:inf'"),
        ({"range": ":"}, "invalid range ':'"),
        ({"range": 5}, "invalid range 5: expected text"),
        ({"truncated": "drop"}, "invalid truncated 'drop'"),
        ({"classes": "7"}, "classes 0 to 6"),
        ({"only": "right"}, "invalid only 'right': expected wrong, label:NAME or below:P"),
        ({"only": "label:"}, "invalid only 'label:'"),
        ({"only": "below:1.5"}, "P between 0 and 1"),
        ({"only": "label:lion"}, "no class 'lion'"),
        ({"classes": "-1"}, "no class '-1'"),
        ({"classes": "taby"}, "did you mean tabby"),
        ({"classes": "cat"}, "did you mean tiger cat"),
        ({"classes": "crane"}, "indices 4, 5"),
        ({"classes": ""}, "classes is empty"),
        ({"classes": "2\n3"}, "invalid classes '2\\n3': expected one line"),
        ({"classes": "9" * 5000}, "has the classes 0 to 6"),
        ({"classes": [True]}, "invalid class True: expected an index or a label"),
        ({"classes": False}, "invalid class False: expected an index"),
        ({"classes": 1.5}, "no class '1.5'"),
        ({"classes": b"2"}, "expected a label or an index"),
        ({"classes": [None]}, "no class 'None'"),
        ({"colormap": "jett"}, "did you mean jet"),
        ({"method": "scorecan"}, "did you mean scorecam"),
        ({"format": "jpg"}, "expected one of jpeg, webp, png"),
        ({"scale": "both"}, "expected one of each, shared"),
        ({"alpha": 1.5}, "invalid alpha 1.5: expected a number from 0 to 1"),
        ({"box_threshold": 1.0}, "box_threshold 1.0"),
        ({"topk": 3}, "did you mean top_k"),
        ({"target_layer": "layer44"}, "did you mean layer4"),
        ({"target_layer": "nothing"}, "outermost layers are conv1, layer3, layer4, fc"),
        ({"target_layer": "layer3"}, "use the method gradcam or layercam"),
        ({"target_layer": "layer3,layer4"}, "for layer3,layer4 use the method layercam"),
        ({"target_layer": "layer3,layer4", "method": "gradcam"}, "the method gradcam maps one layer; for several"),
        ({"target_layer": "layer3,layer44", "method": "gradcam"}, "no layer 'layer44' (did you mean layer4"),
        ({"target_layer": " , "}, "invalid target_layer ' , ': expected a layer"),
        ({"overlay": "transparent", "format": "jpeg"}, "a JPEG cannot be transparent: use the format png or webp"),
        ({"heatmaps": "half"}, "invalid heatmaps 'half': expected true, false or full"),
        ({"heatmaps": 1}, "invalid heatmaps 1: expected true, false or full"),
        ({"keep_maps": "yes"}, "invalid keep_maps 'yes': expected true or false"),
        ({"boxes": 0}, "invalid boxes 0: expected a whole number from 1 to 100"),
        ({"mask_threshold": 1.0}, "invalid mask_threshold 1.0: expected a number between 0 and 1"),
        ({"smooth": "flip"}, "invalid smooth 'flip' (did you mean flips?): expected one of flips"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(given: dict[str, Any], says: str) -> None:
    """Every mistake is the caller's to mend, in one look."""
    with pytest.raises(UsageError) as caught:
        check_options(CARD, given)

    assert says in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"target_layer": "layer4"},
        {"target_layer": "layer3.0", "method": "gradcam"},
        {"target_layer": "layer3.0", "method": "layercam"},
        {"target_layer": "layer3, layer4", "method": "layercam"},
    ],
)
def test_a_layer_that_the_model_has_may_be_asked_for(given: dict[str, Any]) -> None:
    """The one before the pool with any method, another with gradcam or layercam, several with layercam."""
    card = replace(CARD, methods=(*CARD.methods, "layercam"))
    assert check_options(card, given).target_layer == given["target_layer"]


def test_an_older_workers_card_tells_no_layers() -> None:
    """Then the worker judges, as it did."""
    older = replace(CARD, layers=(), target_layer=None)
    assert check_options(older, {"target_layer": "whatever"}).target_layer == "whatever"


def test_a_method_that_the_network_cannot_do_is_refused_with_the_reason() -> None:
    """Also where nobody asked for one, since the default would fail every image."""
    card = replace(CARD, methods=("gradcam",), reason="classifier.4 (ReLU) stands before its last linear layer")

    for given in ({}, {"method": "cam"}):
        with pytest.raises(UsageError) as caught:
            check_options(card, given)
        assert str(caught.value) == (
            "tiny does not support the method cam: classifier.4 (ReLU) stands before its last linear layer. Use gradcam"
        )


@pytest.mark.parametrize(
    ("sizes", "refused", "says"),
    [
        ((224, 224), (32, 223, 225, 448), "takes 224 pixels only; leave the option out for its own 224"),
        ((63, 4096), (32, 62), "takes 63 to 4096 pixels; leave the option out for its own 224"),
    ],
)
def test_an_input_size_that_the_network_cannot_take_is_refused(
    sizes: tuple[int, int], refused: tuple[int, ...], says: str
) -> None:
    """Before anything is uploaded, with the network, what it takes, and what to do."""
    card = replace(CARD, input_sizes=sizes)
    for size in refused:
        with pytest.raises(UsageError) as caught:
            check_options(card, {"input_size": size})
        assert str(caught.value).startswith(f"invalid input_size {size}: tiny takes ")
        assert says in str(caught.value)
    for size in sizes:
        assert check_options(card, {"input_size": size}).input_size == size


def test_an_older_workers_card_is_read_and_tells_neither_reasons_nor_sizes() -> None:
    """The method is still refused; of the size its worker judges."""
    older = decode(
        b'{"model": "old@0123456789ab", "labels": ["a"], "input_size": 224, "methods": ["gradcam"]}', ModelCard
    )

    assert check_options(older, {"method": "gradcam", "input_size": 4096}).input_size == 4096
    with pytest.raises(UsageError, match=r"^old does not support the method cam\. Use gradcam$"):
        check_options(older, {})


@pytest.mark.parametrize("wish", ["full", "data", "-160:240", "0:1", "1e3:4.5e3"])
def test_a_range_is_a_word_or_two_numbers(wish: str) -> None:
    """And stands in the options as it was given; without one nothing does, so that older workers take the job."""
    assert check_options(CARD, {"range": wish}).range == wish
    assert b"range" not in encode(check_options(CARD, {}))
    assert b"truncated" not in encode(check_options(CARD, {}))


@pytest.mark.parametrize(
    ("given", "kept"),
    [("wrong", "wrong"), ("below:0.6", "below:0.6"), ("label:tabby", "label:2"), ("label: salt, sea", "label:6")],
)
def test_what_is_drawn_is_known_by_index(given: str, kept: str) -> None:
    """A label may be written in several ways; an index is one class."""
    assert check_options(CARD, {"only": given}).only == kept


def test_a_randomisation_test_needs_methods_to_test() -> None:
    """It is left out of a message while nobody asks for it."""
    assert check_options(CARD, {"evaluate": "cam", "randomise": True}).randomise is True
    assert b"randomise" not in encode(check_options(CARD, {"evaluate": "cam"}))
    with pytest.raises(UsageError, match="randomise needs evaluate: name the methods"):
        check_options(CARD, {"randomise": True})


def test_a_randomisation_test_takes_no_smoothed_maps() -> None:
    """It would measure others than those of the job."""
    with pytest.raises(UsageError, match="randomise tests the network's own maps and not smoothed ones"):
        check_options(CARD, {"evaluate": "cam", "randomise": True, "smooth": "flips"})


MANY = replace(CARD, labels=tuple(map(str, range(1000))))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"top_k": 21}, "top_k asks for up to 21:"),
        ({"top_k": 5000}, "top_k asks for up to 1,000:"),
        ({"classes": list(range(21))}, "classes asks for up to 21:"),
        ({"min_probability": 0.001}, "min_probability asks for up to 1,000:"),
    ],
)
def test_masks_of_many_classes_are_refused(given: dict[str, Any], said: str) -> None:
    """The results of a chunk would be more than anybody reads; without masks they may be asked for."""
    with pytest.raises(UsageError, match=f"^masks are stored of at most 20 classes of a picture, and {said}"):
        check_options(MANY, {**given, "masks": True})
    check_options(MANY, given)
    check_options(MANY, {**given, "masks": False})


@pytest.mark.parametrize("given", [{"top_k": 20}, {"classes": list(range(20))}, {"min_probability": 0.05}, {}])
def test_masks_of_twenty_classes_are_stored(given: dict[str, Any]) -> None:
    """And of few classes whatever is asked for."""
    assert check_options(MANY, {**given, "masks": True}).masks is True
    assert check_options(CARD, {"top_k": 1000, "masks": True}).top_k == len(CARD.labels)


def test_masks_of_every_label_that_is_probable_enough_need_a_network_of_few_labels() -> None:
    """Outputs of a sigmoid say nothing of each other: all of them may be high."""
    with pytest.raises(UsageError, match="and min_probability asks for up to 1,000:"):
        check_options(replace(MANY, outputs="sigmoid"), {"min_probability": 0.5, "masks": True})
    assert check_options(replace(CARD, outputs="sigmoid"), {"min_probability": 0.001, "masks": True}).masks is True
