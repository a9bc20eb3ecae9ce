"""Pictures as text."""

from PIL import Image

from producer.cli.half_blocks import drawn


def halves() -> Image.Image:
    """Two pixels wide, red above blue."""
    picture = Image.new("RGB", (2, 2), (255, 0, 0))
    picture.paste((0, 0, 255), (0, 1, 2, 2))
    return picture


def test_a_character_is_two_pixels_one_above_the_other() -> None:
    """Equal neighbours share one colour command; the line ends without colour."""
    assert drawn(halves(), 10, 10) == "\x1b[38;2;255;0;0;48;2;0;0;255m▀▀\x1b[0m"


def test_a_picture_fits_the_terminal_and_keeps_its_proportions() -> None:
    """It is made smaller, never larger."""
    lines = drawn(Image.new("RGB", (400, 200)), 40, 30).splitlines()

    assert [line.count("▀") for line in lines] == [40] * 10
    assert len(drawn(Image.new("RGB", (10, 400)), 40, 30).splitlines()) == 30


def test_an_odd_last_row_is_doubled() -> None:
    """Every character has a lower half."""
    assert len(drawn(Image.new("RGB", (3, 5)), 40, 30).splitlines()) == 3


def test_without_colours_there_are_shades() -> None:
    """As NO_COLOR asks: no escape at all."""
    picture = Image.linear_gradient("L").transpose(Image.Transpose.ROTATE_90).resize((10, 4))

    lines = drawn(picture, 40, 30, colours=False).splitlines()

    assert lines == ["  ░░▒▒▓▓██"] * 2


def test_the_orientation_of_a_photograph_is_kept_and_transparency_is_grey() -> None:
    """A picture is shown as any viewer shows it."""
    turned = Image.new("RGB", (4, 2))
    turned.getexif()[0x0112] = 6

    assert drawn(turned, 40, 30).count("\n") == 1
    assert "128;128;128" in drawn(Image.new("RGBA", (2, 2), (255, 0, 0, 0)), 10, 10)
