"""Photographs that come with scikit-image, for the demo."""

from importlib.util import find_spec
from pathlib import Path

from producer.inputs.notes import Notes
from producer.inputs.source import BytesSource
from shared.errors import CamqError

#: Free photographs of things that ImageNet has classes for, and the index of that class; the cat first.
SAMPLES = {
    "chelsea": ("chelsea.png", 285),  # Egyptian cat
    "coffee": ("coffee.png", 967),  # espresso
    "motorcycle": ("motorcycle_left.png", 665),  # moped
    "rocket": ("rocket.jpg", 657),  # missile
    "astronaut": ("astronaut.png", 812),  # space shuttle
    "camera": ("camera.png", 872),  # tripod
}


def samples() -> list[BytesSource]:
    """The photographs as sources named without a suffix, with what they show. scikit-image itself is not imported."""
    package = find_spec("skimage")
    if package is None or not package.submodule_search_locations:
        raise CamqError("the demo's photographs come with scikit-image: pip install 'camq[demo]'")
    folder = Path(package.submodule_search_locations[0]) / "data"
    return [
        BytesSource(name, (folder / file).read_bytes(), notes=Notes(label=index))
        for name, (file, index) in SAMPLES.items()
        if (folder / file).exists()
    ]
