"""Clusters of maps within a class: a planted corner, a half that is wrong, boxes, and the same answer each time."""

from typing import Any

import numpy as np
import pytest

from producer.results.analysis import clusters
from producer.results.analysis.clusters import Samples
from producer.results.analysis.kept_maps import Looked, on_border

LABELS = {0: "cat", 1: "dog", 2: "fox"}


def blobs(places: np.ndarray, side: int = 7) -> np.ndarray:
    """A map for each place, row and column."""
    y, x = np.mgrid[:side, :side]
    heat = np.exp(-((y - places[:, :1, None]) ** 2 + (x - places[:, 1:, None]) ** 2) / 2)
    return heat / heat.sum(axis=(1, 2), keepdims=True)


def chunk(truth: np.ndarray, places: np.ndarray, first: int = 0, **known: Any) -> Looked:
    """Images of these classes with heat at these places, all of them right unless it is said otherwise."""
    count, heat = len(truth), blobs(places)
    given = {
        "image": first + np.arange(count),
        "truth": truth,
        "predicted": truth,
        "probability": np.full(count, 0.9),
        "own": np.ones(count, bool),
        "heat": heat,
        "best": heat,
        "outside": np.full(count, np.nan),
    }
    return Looked(**given | known)


def samples(*chunks: Looked) -> Samples:
    found = Samples()
    for each in chunks:
        found.add(each, on_border(each.heat))
    return found


def planted(seed: int, count: int = 300, *, marked: bool) -> Looked:
    """Heat at any place; of nine of ten images of class 1 in the upper right corner."""
    generator = np.random.default_rng(seed)
    truth, places = np.arange(count) % 3, generator.uniform(1, 5, (count, 2))
    if marked:
        places[(truth == 1) & (generator.random(count) < 0.9)] = (0, 6)
    return chunk(truth, places)


def test_a_corner_is_the_first_cluster() -> None:
    """With the images that have it, and how rare that place is elsewhere."""
    looked = planted(0, marked=True)

    found = samples(looked).clusters(LABELS)

    first = found[0]
    assert (first.label, first.reason) == ("dog", "heat at one place, and not where other classes have it")
    assert first.score > 0.5
    assert first.images == pytest.approx(90, abs=6)
    assert first.sampled == 100
    assert 0 <= first.elsewhere < 0.1  # type: ignore[operator]
    assert np.unravel_index(np.argmax(first.heat.mean_map), (7, 7)) == (0, 6)
    assert len(first.examples) == 6
    for image in first.examples:
        assert np.unravel_index(looked.heat[image].argmax(), (7, 7)) == (0, 6)
    assert all(one.score < 0.2 for one in found[1:])
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


@pytest.mark.parametrize("seed", range(20))
def test_heat_at_any_place_is_not_suspicious(seed: int) -> None:
    """Each cluster has its place by chance, and other classes have their heat there as often."""
    assert [one for one in samples(planted(seed, marked=False)).clusters(LABELS) if one.reason] == []


def test_heat_spread_over_the_picture_is_at_no_place() -> None:
    """Its maps are all alike, and no other class has such; but there is nothing to look at."""
    generator = np.random.default_rng(0)
    truth, heat = np.arange(300) % 3, blobs(generator.uniform(1, 5, (300, 2)))
    heat[truth == 2] = heat.mean(axis=0) * generator.uniform(0.95, 1.05, (100, 7, 7))
    heat /= heat.sum(axis=(1, 2), keepdims=True)

    found = samples(chunk(truth, np.zeros((300, 2)), heat=heat)).clusters(LABELS)

    assert [one for one in found if one.reason] == []


def test_a_place_where_answers_are_wrong_is_suspicious() -> None:
    """By how much less often they are right there than in the rest of the class, times their share of it."""
    count = 400
    truth, left = np.arange(count) % 2, np.arange(count) // 2 % 2 == 0
    places = np.where(left[:, None], (3, 1), (3, 5)) + np.random.default_rng(0).uniform(-0.3, 0.3, (count, 2))
    wrong = (truth == 0) & left & (np.arange(count) % 10 < 6)
    sure = np.where((truth == 1) & left, 0.6, 0.9)

    found = samples(chunk(truth, places, predicted=np.where(wrong, 2, truth), probability=sure)).clusters(LABELS)
    by_reason = {one.reason: one for one in found}

    assert len(found) == 4
    less = by_reason["wrong more often than the rest of the class"]
    assert (less.label, less.images, less.rest_accuracy) == ("cat", 100, 1.0)
    assert less.accuracy == pytest.approx(1 - wrong.sum() / 100)
    assert 0 < less.score < 0.5 * (1 - less.accuracy)
    unsure = by_reason["less sure than the rest of the class"]
    assert (unsure.label, unsure.probability, unsure.rest_probability) == (
        "dog",
        pytest.approx(0.6),
        pytest.approx(0.9),
    )
    assert unsure.score < 0.5 * 0.3


def test_heat_outside_the_boxes_is_suspicious() -> None:
    """In the cluster that has it, by its share of the class."""
    count = 120
    truth, left = np.arange(count) % 2, np.arange(count) // 2 % 3 == 0
    places = np.where(left[:, None], (3, 0), (3, 5)) + np.random.default_rng(0).uniform(-0.3, 0.3, (count, 2))
    beside = np.where(left & (truth == 0), 0.9, 0.1)

    first = samples(chunk(truth, places, outside=beside)).clusters(LABELS)[0]

    assert (first.label, first.reason, first.images) == ("cat", "heat outside the true boxes", 20)
    assert first.score == pytest.approx(0.9 / 3)
    assert first.heat.outside == pytest.approx(0.9)


def test_the_answer_is_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order in which chunks come, and also of a job of which only a sample is kept."""
    monkeypatch.setattr(clusters, "MOST", 200)
    generator = np.random.default_rng(0)
    chunks = [
        chunk(generator.integers(0, 2, 100), generator.uniform(0, 6, (100, 2)), first=100 * number)
        for number in range(10)
    ]

    forward, backward = (samples(*each).clusters(LABELS) for each in (chunks, chunks[::-1]))

    assert forward == backward
    assert {one.sampled for one in forward} <= set(range(30, 101))
    assert max(image for one in forward for image in one.examples) > 500  # from all over the job


def test_of_too_many_classes_those_with_most_images_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty maps of each of ten classes are within the bound; of forty classes the ten largest stay, whole."""
    monkeypatch.setattr(clusters, "MOST", 300)
    truth = np.random.default_rng(0).permutation(np.repeat(np.arange(40), 30 + np.arange(40)))

    found = samples(chunk(truth, np.full((len(truth), 2), 3.0))).clusters({})

    assert {one.class_index: (one.images, one.sampled) for one in found} == dict.fromkeys(range(30, 40), (30, 30))


def test_of_a_thousand_small_classes_some_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would fill the whole with a few maps each."""
    monkeypatch.setattr(clusters, "MOST", 300)
    generator = np.random.default_rng(0)
    chunks = [chunk(generator.permutation(1000), np.full((1000, 2), 3.0), first=1000 * n) for n in range(35)]

    found = samples(*chunks).clusters({})

    assert sum(one.images for one in found) <= 300
    assert {one.sampled for one in found} == {30}


def test_a_class_that_was_left_out_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its later images alone it would be known by another sample."""
    monkeypatch.setattr(clusters, "MOST", 300)
    truths = np.repeat(np.arange(11), 30), np.repeat(10, 100)
    chunks = [chunk(truth, np.full((len(truth), 2), 3.0), first=1000 * n) for n, truth in enumerate(truths)]

    found = samples(*chunks).clusters({})

    assert sorted(one.class_index for one in found) == list(range(10))


@pytest.mark.parametrize("count", [3, 24])
def test_elsewhere_is_the_share_of_other_classes_images(count: int) -> None:
    """Two of forty images of each other class have their heat where all of the first class have it."""
    truth = np.repeat(np.arange(count), 40)
    places = np.full((len(truth), 2), 3.0)
    places[(truth == 0) | (np.arange(len(truth)) % 40 < 2)] = (0, 6)

    first = samples(chunk(truth, places)).clusters(LABELS)[0]

    assert (first.label, first.images) == ("cat", 40)
    assert first.elsewhere == pytest.approx(2 / 40)


@pytest.mark.slow  # the import alone takes seconds
def test_clusters_are_those_of_scikit_learn() -> None:
    """Of three places, without being told how many there are."""
    from sklearn.cluster import AgglomerativeClustering

    places = np.repeat([(1, 1), (5, 1), (3, 5)], 20, axis=0) + np.random.default_rng(0).normal(0, 0.3, (60, 2))
    looked = chunk(np.zeros(60, int), places)

    found = samples(looked).clusters(LABELS)

    roots = np.sqrt(looked.heat.reshape(60, -1))
    peer = AgglomerativeClustering(3, linkage="ward").fit_predict(roots)
    assert sorted(one.images for one in found) == sorted(np.bincount(peer)) == [20, 20, 20]
    for one in found:
        (number,) = {int(peer[image]) for image in one.examples}
        mean = looked.heat[peer == number].mean(axis=0)
        np.testing.assert_allclose(one.heat.mean_map, mean, atol=2e-4)


def test_a_small_class_has_no_clusters_and_large_maps_are_made_smaller() -> None:
    """Of 29 images nothing is said; a map of 40 x 40 is kept as one of 16 x 16 with the same heat."""
    few = chunk(np.zeros(29, int), np.full((29, 2), 3.0))
    heat = blobs(np.random.default_rng(0).uniform(5, 35, (40, 2)), 40)
    large = chunk(np.zeros(40, int), np.zeros((40, 2)), heat=heat)

    assert samples(few).clusters(LABELS) == ()
    found = samples(large).clusters(LABELS)
    assert np.shape(found[0].heat.mean_map) == (16, 16)
    assert np.sum(found[0].heat.mean_map) == pytest.approx(1, abs=0.01)
