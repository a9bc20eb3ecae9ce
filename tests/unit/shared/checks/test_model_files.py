"""Model files: what they may say, and what is said of a mistake in one."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from shared.checks.model_files import check_served, is_model_file, read_model_file, served_name
from shared.contract import ModelCard, Preprocessing
from shared.errors import UsageError

WHOLE = """
name = "cats"
architecture = "resnet18"
weights = "cats.pth"
labels = ["Angora", "Persian"]
outputs = "sigmoid"
target_layer = "layer4"

[input]
size = 256
mean = [0.5, 0.5, 0.5]
std = [0.25, 0.25, 0.25]
resize = "letterbox"
resize_size = 288
interpolation = "bicubic"
channels = 3
"""


def written(text: str, folder: Path, name: str = "pets.toml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    """Every key; without a name it goes by its file's."""
    path = written(WHOLE, tmp_path)
    file = read_model_file(path)
    assert (file.labels, file.outputs, file.input.mean) == (("Angora", "Persian"), "sigmoid", (0.5, 0.5, 0.5))
    assert served_name(str(path)) == "cats"
    assert served_name(str(written('architecture = "resnet50"', tmp_path))) == "pets"
    assert [is_model_file(each) for each in ("cats.toml", "CATS.TOML", "resnet18", None)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('weight = "a.pth"', "line 1: unknown key 'weight' (did you mean weights?)"),
        ("[input]\nsizes = 3", "line 2: unknown key 'input.sizes'"),
        ('\noutputs = "binary"', "line 2: invalid outputs 'binary'; expected one of softmax, sigmoid"),
        ('[input]\n\nsize = "224"', "line 3: invalid input.size '224'; expected a whole number from 32 to 4096"),
        ("[input]\nsize = 8", "invalid input.size 8; expected a whole number from 32 to 4096"),
        ("[input]\nmean = [1, 1]", "line 2: input.mean has 2 numbers; expected one for each of the 1, 3 or 4 channels"),
        ("[input]\nstd = [1, 0, 1]", "holds a 0"),
        ("labels = 3", "line 1: invalid labels 3; expected a text or a list of texts"),
        ('name = "a b"', "line 1: invalid name 'a b'"),
        ('[input]\nresize = "stretch"', "expected one of squash, center-crop, letterbox"),
        ("[input]\nsize = [224]", "invalid input.size [224]; expected a whole number from 32 to 4096 or a list"),
        ("[input]\nsize = [224, 8]", "invalid input.size [224, 8]"),
        ("[input]\nexif = 1", "invalid input.exif 1; expected true or false"),
        ('[input]\nantialias = "no"', "invalid input.antialias 'no'; expected true or false"),
        ("architecture = ", "is not valid TOML"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_what_is_allowed(text: str, reason: str, tmp_path: Path) -> None:
    """And the file it is in."""
    path = written(text, tmp_path)
    with pytest.raises(UsageError) as refused:
        read_model_file(path)
    assert reason in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Is a usage error."""
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_model_file(tmp_path / "none.toml")


def test_what_is_served_under_its_name_must_be_what_it_says(tmp_path: Path) -> None:
    """The differences are listed."""
    path = written(WHOLE, tmp_path)
    own = Preprocessing(
        size=256, mean=(0.5,) * 3, std=(0.25,) * 3, resize="letterbox", resize_size=288, interpolation="bicubic"
    )
    card = ModelCard(
        model="cats@1",
        labels=("Angora", "Persian"),
        input_size=256,
        methods=("cam",),
        outputs="sigmoid",
        preprocessing=own,
    )
    check_served(path, card)
    other = msgspec.structs.replace(card, outputs="softmax", preprocessing=replace(own, size=224))
    with pytest.raises(UsageError, match=r"outputs are softmax, not sigmoid; input\.size is 224, not 256"):
        check_served(path, other)


def test_height_and_width_are_compared_with_what_is_served(tmp_path: Path) -> None:
    """And whether pictures are turned upright, or sampled."""
    path = written("[input]\nsize = [256, 128]\nexif = false\nantialias = false\n", tmp_path)
    own = Preprocessing(size=256, width=128, exif=False, antialias=False)
    card = ModelCard(model="pets@1", labels=("a", "b"), input_size=256, methods=("cam",), preprocessing=own)
    check_served(path, card)
    other = msgspec.structs.replace(card, preprocessing=Preprocessing(size=256))
    reason = (
        r"input\.exif is True, not False; input\.antialias is True, not False; input\.size is 256, not \(256, 128\)"
    )
    with pytest.raises(UsageError, match=reason):
        check_served(path, other)
    assert own.sides() == (256, 128)
    assert own.sides(512) == (512, 256)


def test_without_channels_the_weights_say_how_many_numbers_there_must_be(tmp_path: Path) -> None:
    """One, three or four; with `channels` as many as that."""
    for numbers in ([0.5], [0.5] * 3, [0.5] * 4):
        assert read_model_file(written(f"[input]\nmean = {numbers}\n", tmp_path)).input.mean == tuple(numbers)
    with pytest.raises(UsageError, match="has 3 numbers; expected one for each of the 1 channels"):
        read_model_file(written("[input]\nchannels = 1\nmean = [0.5, 0.5, 0.5]\n", tmp_path))


def test_a_rectangle_before_the_crop_and_a_colour_beside_it(tmp_path: Path) -> None:
    """`resize_size` may have a height and a width, as `size` may."""
    path = written('[input]\nresize = "letterbox-crop"\nresize_size = [288, 144]\nfill = [1, 2, 3]\n', tmp_path)
    own = Preprocessing(resize="letterbox-crop", resize_size=288, resize_width=144, fill=(1, 2, 3))
    card = ModelCard(model="pets@1", labels=("a", "b"), input_size=224, methods=("cam",), preprocessing=own)
    assert own.before_crop(448) == (576, 288)
    check_served(path, card)
    other = msgspec.structs.replace(card, preprocessing=replace(own, resize_width=None, fill=(0, 0, 0)))
    with pytest.raises(
        UsageError, match=r"input\.fill is \(0, 0, 0\), not \(1, 2, 3\); input\.resize_size is 288, not"
    ):
        check_served(path, other)


def test_a_folder_that_describes_its_network_is_as_good_as_a_model_file(tmp_path: Path) -> None:
    """Written with a slash: a bare word is a network's name."""
    folder = tmp_path / "my pets"
    folder.mkdir()
    assert not is_model_file(f"{folder}/")
    (folder / "config.json").write_text("{}")
    assert is_model_file(str(folder))
    assert not is_model_file("my pets")
    assert served_name(str(folder)) == "my-pets"
    assert read_model_file(folder).weights == str(folder)
