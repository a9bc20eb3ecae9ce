"""The answer of `camq summary --json`: how often a job was right, where not, and how far its probabilities hold."""

import msgspec

from shared.contract.records import JobId


class ClassHeat(msgspec.Struct, frozen=True, kw_only=True):
    """Where the network looked in `images`: their maps of one class, each a share of 1. `mean_map` is their mean, row
    by row at the network's resolution, `deviation_map` their standard deviation in each cell; `alike` is 1 where all
    maps are the same; `border` is the mean share of the heat in the outermost cells, `outside` that outside the true
    boxes, null without boxes."""

    images: int
    mean_map: tuple[tuple[float, ...], ...]
    deviation_map: tuple[tuple[float, ...], ...]
    alike: float
    border: float
    outside: float | None


class ClassAccuracy(msgspec.Struct, frozen=True, kw_only=True):
    """One class: `support` images are of it, `predicted` were said to be, `correct` are both. `precision` is the share
    of `predicted` that is correct, `recall` that of `support`; null where there are none. `heat` has the maps of this
    class in its own images, or of the best class where that map was not made; null where no maps were kept."""

    label: str
    class_index: int
    support: int
    predicted: int
    correct: int
    precision: float | None
    recall: float | None
    heat: ClassHeat | None = None


class Confusion(msgspec.Struct, frozen=True, kw_only=True):
    """`count` images of the class `truth` were taken for `predicted`. Of a network with several labels at once, null
    stands for no other label instead. `heat` has the maps of `predicted` in these images, and `truth_heat` those of
    `truth`; null where no such maps were kept."""

    truth: str | None
    predicted: str | None
    count: int
    heat: ClassHeat | None = None
    truth_heat: ClassHeat | None = None


class CalibrationBin(msgspec.Struct, frozen=True, kw_only=True):
    """Images whose best class has a probability above `low` and up to `high`: the mean of these probabilities, and the
    share of the images that is correct; null where there are none."""

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """The expected calibration error: the mean distance of confidence and accuracy over bins, each weighted by its
    images (Guo et al. 2017, https://arxiv.org/abs/1706.04599)."""

    ece: float
    bins: tuple[CalibrationBin, ...]


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """Something to look at, the most suspicious first by `score`, 0 to 1: the class, how many images, why, and the
    indices of a few of them."""

    label: str
    images: int
    reason: str
    score: float
    examples: tuple[int, ...]


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """Images of the class `label` whose maps are alike: `images` of the `sampled` images of that class.

    `reason` says what is suspicious, null where nothing is; `score` is the share of the class's images that it
    concerns, 0 to 1. `elsewhere` is the share of other classes' images with their heat at the same place, null
    without any. `accuracy` and `probability` (of the best class) are those of the cluster, `rest_accuracy` and
    `rest_probability` those of the other images of the class, null where there are none. `examples` are indices, the
    most typical first.
    """

    label: str
    class_index: int
    images: int
    sampled: int
    reason: str | None
    score: float
    elsewhere: float | None
    accuracy: float | None
    rest_accuracy: float | None
    probability: float
    rest_probability: float | None
    heat: ClassHeat
    examples: tuple[int, ...]


class JobSummary(msgspec.Struct, frozen=True, kw_only=True):
    """`images` of the job, `failed` among them, and `with_truth` those with an answer and ground truth, of which all
    else tells. `top1` is the share that is correct, `top_k` the share whose true class is among the best `k`; null
    without ground truth, and `top_k` of a network with sigmoid outputs. `classes` stand in the model's order,
    `confusions` by count. `maps` is the number of images with ground truth and kept maps, from which `heat`, `suspects`
    and `clusters` come; the most suspicious ones stand first."""

    job: JobId
    model: str
    images: int
    failed: int
    with_truth: int
    maps: int
    k: int
    top1: float | None
    top_k: float | None
    classes: tuple[ClassAccuracy, ...]
    confusions: tuple[Confusion, ...]
    calibration: Calibration | None
    suspects: tuple[Suspect, ...]
    clusters: tuple[Cluster, ...] = ()
