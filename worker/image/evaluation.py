"""How faithful the maps of one image are: the changed pictures go through the batcher like any other pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec import UNSET

from shared.contract import EvaluationRecord, ImageRef, Method, Options
from worker.core.faithfulness.perturbation import NOISE
from worker.core.faithfulness.places import overlaps, points_at
from worker.core.faithfulness.scores import faithfulness, rank_correlation
from worker.core.types import ClassMap, Explanation, FloatArray, ImageOptions, RandomStage, UInt8Array
from worker.devices.container import cores
from worker.image.batcher import Batcher
from worker.image.smoothing import smoothed
from worker.pictures.budget import Budget
from worker.pictures.pool import Picture

if TYPE_CHECKING:  # it loads torch, which nothing here runs
    from worker.core.model.network import Network

#: Images that are evaluated at once, or as many as there are cores: while one waits for the device, the others make
#: their next pictures, up to 21 each.
AT_ONCE = 4
#: Pixels beside a box that count as in it, as in the pointing game's own code.
_TOLERANCE = 15


class Evaluator:
    """Shared by all images of the process. None of its pictures is urgent: an evaluation delays nobody."""

    def __init__(self, network: Network, batcher: Batcher) -> None:
        self._batcher = batcher
        self._turns = Budget(max(AT_ONCE, cores()))
        mean, std = (np.array(each, np.float32) * 255 for each in (network.spec.mean, network.spec.std))
        self._blank: FloatArray = mean
        self._noise: FloatArray = NOISE * std

    def __call__(
        self, ref: ImageRef, options: Options, picture: Picture, check: Callable[[], None]
    ) -> tuple[EvaluationRecord, ...]:
        """One record for each method of `options.evaluate`. Blocks; raises ImageError when the network fails."""
        methods = tuple(dict.fromkeys(options.evaluate or ()))
        with self._turns.take(1, check):
            found = tuple(self._one(method, ref, options, picture, check) for method in methods)
            return self._randomised(found, methods, options, picture, check) if options.randomise else found

    def _one(
        self, method: Method, ref: ImageRef, options: Options, picture: Picture, check: Callable[[], None]
    ) -> EvaluationRecord:
        pixels, geometry = picture.pixels, picture.geometry
        wish = _plain(options, method)
        seconds = 0.0

        def timed(asked: UInt8Array, options: Options) -> Explanation:
            nonlocal seconds
            explanation, took = self._batcher.timed(asked, options, check=check)
            seconds += took
            return explanation

        best = smoothed(timed, pixels, wish).classes[0]
        # No map is asked for, only how probable the class is.
        asked = ImageOptions(**msgspec.structs.asdict(wish) | {"classes": (), "truth": (best.class_index,)})

        def classify(pictures: Sequence[FloatArray]) -> list[float]:
            check()  # a fast device answers before the batcher would ask
            found = self._batcher.explain_all([_as_bytes(each) for each in pictures], asked, urgent=False, check=check)
            return [each.judgement.true[0].probability for each in found if each.judgement]

        numbers = faithfulness(
            best.values,
            pixels.astype(np.float32),
            best.probability,
            classify,
            blank=self._blank,
            noise=self._noise,
        )
        boxes = ref.boxes or ()
        shown = self._true_map(ref, wish, best, pixels, check) if boxes else None
        return EvaluationRecord(
            method=method,
            class_index=best.class_index,
            drop=numbers.drop,
            increase=numbers.increase,
            deletion=numbers.deletion,
            insertion=numbers.insertion,
            road=numbers.road,
            road_morf=numbers.morf,
            road_lerf=numbers.lerf,
            sparsity=numbers.sparsity,
            complexity=numbers.complexity,
            seconds=seconds,
            pointing=points_at(shown, geometry, boxes, _TOLERANCE) if shown is not None else None,
            overlaps=_rounded(overlaps(shown, geometry, boxes)) if shown is not None else (),
            deletion_curve=_rounded(numbers.deletion_curve),
            insertion_curve=_rounded(numbers.insertion_curve),
        )

    def _randomised(
        self,
        found: tuple[EvaluationRecord, ...],
        methods: tuple[Method, ...],
        options: Options,
        picture: Picture,
        check: Callable[[], None],
    ) -> tuple[EvaluationRecord, ...]:
        """The same records, with what is left of each map while a copy of the network becomes random."""
        wish = _plain(options, methods[0])
        asked = ImageOptions(
            **msgspec.structs.asdict(wish) | {"classes": (found[0].class_index,), "randomised": methods}
        )
        explanation, _ = self._batcher.timed(picture.pixels, asked, check=check)
        real, *stages = explanation.randomised
        return tuple(
            msgspec.structs.replace(record, randomisation=_correlations(place, real, stages))
            for place, record in enumerate(found)
        )

    def _true_map(
        self, ref: ImageRef, wish: Options, best: ClassMap, pixels: UInt8Array, check: Callable[[], None]
    ) -> FloatArray:
        """Of what the boxes surround, where the user says which one class that is; else of the best class."""
        truth = (ref.truth,) if isinstance(ref.truth, int) else ref.truth or ()
        if len(truth) != 1 or truth[0] == best.class_index:
            return best.values
        explain = partial(self._batcher.explain, urgent=False, check=check)
        return smoothed(explain, pixels, msgspec.structs.replace(wish, classes=truth)).classes[0].values


def _plain(options: Options, method: Method) -> Options:
    """The options of the map that is measured: of the best class, by this method."""
    return msgspec.structs.replace(
        options,
        method=method,
        top_k=1,
        classes=None,
        min_probability=UNSET,
        explain=UNSET,
        evaluate=UNSET,
        randomise=UNSET,
    )


def _correlations(place: int, real: RandomStage, stages: Sequence[RandomStage]) -> tuple[tuple[str, float], ...]:
    """Of the method at this place; none where its map is flat."""
    own = real.maps[place]
    assert own is not None  # noqa: S101 -- a map that is not finite fails its picture
    pairs = [(stage.layer, rank_correlation(own, stage.maps[place])) for stage in stages]
    return tuple((layer, round(value, 4)) for layer, value in pairs if value is not None)


def _rounded(values: Sequence[float]) -> tuple[float, ...]:
    """To what fits into a line of JSON."""
    return tuple(round(float(value), 4) for value in values)


def _as_bytes(picture: FloatArray) -> UInt8Array:
    """Rounded, as every picture that the network sees."""
    return np.rint(picture).clip(0, 255).astype(np.uint8)
