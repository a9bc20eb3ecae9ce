"""The options of a job, each declared once."""

import math
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shared.contract.model_card import Resize

#: Sides of a network's input that may be asked for, in pixels; each network takes these or fewer (`ModelCard`).
SMALLEST_INPUT, LARGEST_INPUT = 32, 4096

Method = Literal[
    "cam", "gradcam", "hirescam", "xgradcam", "layercam", "gradcam++", "eigencam", "ablationcam", "scorecam", "finercam"
]
Format = Literal["jpeg", "webp", "png"]
Priority = Literal["high", "bulk"]
#: Where the labels of pictures come from: tables and data sets, or the names of the folders that they lie in.
TruthFrom = Literal["labels", "folders"]
METHODS: tuple[str, ...] = get_args(Method)
#: They look at any layer, by autograd; layercam at several at once.
LAYER_METHODS: tuple[Method, ...] = ("gradcam", "layercam")
#: They take seconds per picture, where the others take milliseconds.
SLOW_METHODS = frozenset({"scorecam"})
#: Of each evaluated map: its own, that of the picture kept where it is hot, 20 steps of deletion, a blurred picture and
#: 19 steps of insertion, and ROAD's eight. And the real network and its ten random ones, for all methods together.
EVALUATION_FORWARDS, RANDOMISED_FORWARDS = 50, 11
FORMATS: tuple[str, ...] = get_args(Format)
PRIORITIES: tuple[str, ...] = get_args(Priority)
TRUTH_FROM: tuple[str, ...] = get_args(TruthFrom)
EXTENSIONS = {"jpeg": "jpg", "webp": "webp", "png": "png"}


def layers_in(target_layer: str | None) -> tuple[str, ...]:
    """The layers of the option `target_layer`, each once."""
    names = (name.strip() for name in (target_layer or "").split(","))
    return tuple(dict.fromkeys(name for name in names if name))


def number_range(text: str) -> tuple[float, float]:
    """The two numbers of a range written as LOW:HIGH. ValueError for anything else."""
    low, high = map(float, text.split(":"))
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError
    return low, high


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the images of a job are mapped and drawn. One set per job; the ledger holds it.

    `shared.checks.options` makes checks, command, page and documentation from it. `extra` has words for help texts.
    """

    top_k: Annotated[int, Meta(ge=1, description="Number of best classes to explain per picture.")] = 3
    #: `rank` is then the class's true rank.
    classes: Annotated[
        tuple[Annotated[int, Meta(ge=0)], ...] | None,
        Meta(
            description='Explain these classes instead of the best ones, as in 283,"tabby".', extra={"metavar": "LIST"}
        ),
    ] = None
    method: Annotated[
        Method, Meta(description="Method that computes the map. scorecam takes many seconds per picture.")
    ] = "cam"
    target: Annotated[
        Literal["logit", "probability", "softmax"],
        Meta(description="Explain the logit or the probability; softmax is another word for probability."),
    ] = "logit"
    target_layer: Annotated[
        str | None,
        Meta(
            description="Layer to map; any but the default needs the method gradcam or layercam. layercam fuses the"
            " maps of several, as in layer2,layer3,layer4.",
            extra={"metavar": "NAME[,NAME…]", "default": "the model's last convolutional layer"},
        ),
    ] = None
    scale: Annotated[
        Literal["each", "shared"],
        Meta(description="Scale each map by its own maximum, or all maps of a picture by the largest of them."),
    ] = "each"
    colormap: Annotated[str, Meta(description="Colormap of the heatmap.", extra={"metavar": "NAME"})] = "jet"
    alpha: Annotated[float, Meta(ge=0, le=1, description="Opacity of the heatmap over the picture.")] = 0.5
    #: Left out while unset, as `output`.
    resize: Annotated[
        Resize | UnsetType,
        Meta(
            description="How to make a picture square for the network.",
            extra={"default": "the model's own, squash unless its model file says otherwise"},
        ),
    ] = UNSET
    #: Left out while unset, as `output`.
    min_probability: Annotated[
        Annotated[float, Meta(gt=0, lt=1)] | UnsetType,
        Meta(
            description="Instead of the best classes, explain every class of at least this probability;"
            " there may be none.",
            extra={"metavar": "P"},
        ),
    ] = UNSET
    #: Left out while unset, as `output`.
    explain: Annotated[
        Literal["best", "truth"] | UnsetType,
        Meta(
            description="With truth, also explain the true class of each picture; needs --truth.",
            extra={"default": "best"},
        ),
    ] = UNSET
    #: Left out while unset, as `output`.
    range: Annotated[
        str | UnsetType,
        Meta(
            description="Values shown as black and as white in a picture of more than 8 bits: the whole range of its"
            " type, the range of its data, or two numbers, as in -160:240.",
            extra={"metavar": "full|data|LOW:HIGH", "default": "the range that the file states, else the data's"},
        ),
    ] = UNSET
    #: Left out while unset, as `output`.
    truncated: Annotated[
        Literal["fail", "keep"] | UnsetType,
        Meta(
            description="Fail a picture that ends early, or keep what is there and say so in its result.",
            extra={"default": "fail"},
        ),
    ] = UNSET
    #: `wrong`, `below:P` or `label:INDEX`; left out while unset, as `output`.
    only: Annotated[
        str | UnsetType,
        Meta(
            description="Draw and store overlays only of some pictures: wrong, label:NAME (the true or the best class),"
            " or below:P (the best probability).",
            extra={"metavar": "WHICH", "default": "all"},
        ),
    ] = UNSET
    #: Left out while unset, as `output`.
    evaluate: Annotated[
        tuple[Method, ...] | UnsetType,
        Meta(
            description="Also measure how faithful the maps of these methods are, as in cam,layercam.",
            extra={"metavar": "LIST"},
        ),
    ] = UNSET
    #: Left out while unset, as `output`.
    randomise: Annotated[
        bool | UnsetType,
        Meta(
            description="With evaluate, also measure how much of a map is left when the network's layers are made"
            " random.",
        ),
    ] = UNSET
    #: Left out while unset, as `output`.
    smooth: Annotated[
        Literal["flips"] | UnsetType,
        Meta(
            description="With flips, each map is the mean of the picture's own and of the mirrored picture's, which is"
            " turned back. A picture then takes two forwards.",
            extra={"default": "the picture's own map"},
        ),
    ] = UNSET
    input_size: Annotated[
        Annotated[int, Meta(ge=SMALLEST_INPUT, le=LARGEST_INPUT)] | None,
        Meta(description="Side of the network's input in pixels.", extra={"default": "the model's own"}),
    ] = None
    overlay: Annotated[
        Literal["original", "input", "transparent"],
        Meta(
            description="Picture to draw on: the original, or the network's input. With transparent the overlay is the"
            " heat alone, to be laid over the picture, as PNG or WebP.",
        ),
    ] = "original"
    overlay_size: Annotated[int, Meta(ge=16, le=16384, description="Maximum side of an overlay in pixels.")] = 512
    format: Annotated[Format, Meta(description="File format of overlays.")] = "jpeg"
    box_threshold: Annotated[
        float, Meta(gt=0, lt=1, description="Box the area where the map exceeds this share of its maximum.")
    ] = 0.2
    #: Left out while unset, as `output`.
    boxes: Annotated[
        Annotated[int, Meta(ge=1, le=100)] | UnsetType,
        Meta(description="Also list the boxes of up to N separate areas, the hottest first.", extra={"metavar": "N"}),
    ] = UNSET
    #: Left out while unset, as `output`.
    masks: Annotated[
        bool | UnsetType,
        Meta(
            description="Also store a mask of where the map exceeds the threshold: a PNG, and COCO RLE in the result."
        ),
    ] = UNSET
    #: Left out while unset, as `output`.
    mask_threshold: Annotated[
        Annotated[float, Meta(gt=0, lt=1)] | UnsetType,
        Meta(
            description="Mask the area where the map exceeds this share of its maximum.",
            extra={"default": "that of the box"},
        ),
    ] = UNSET
    #: Left out while unset, as `output`.
    caption: Annotated[
        bool | UnsetType,
        Meta(description="Write the class, its probability and a colour bar onto each overlay."),
    ] = UNSET
    heatmaps: Annotated[
        bool | Literal["full"],
        Meta(
            description="Also store the heatmaps without the picture: as large as the map or, with full, as large as"
            " the picture."
        ),
    ] = False
    keep_maps: Annotated[bool, Meta(description="Also store the raw maps, as NumPy archives.")] = False
    #: Left out while unset, so that workers of older releases refuse only the jobs that they would write elsewhere.
    output: Annotated[
        str | UnsetType,
        Meta(
            description="Write overlays, heatmaps, masks and maps to a folder under this prefix.",
            extra={"metavar": "s3://BUCKET/PREFIX", "default": "camq's own bucket"},
        ),
    ] = UNSET


def differing(left: Options, right: Options) -> list[tuple[str, str, str]]:
    """The options in which two jobs differ: each with its value in either, in words."""
    pairs = ((name, getattr(left, name), getattr(right, name)) for name in Options.__struct_fields__)
    return [(name, _in_words(one), _in_words(other)) for name, one, other in pairs if one != other]


def _in_words(value: object) -> str:
    if value is None or value is UNSET:
        return "default"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def forwards(options: Options) -> int:
    """How often each picture goes through the network where `evaluate` is asked for; slow methods make more."""
    own = EVALUATION_FORWARDS * len(set(options.evaluate or ()))
    return own + RANDOMISED_FORWARDS if options.randomise else own
