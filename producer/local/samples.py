"""Photographs that come with scikit-image, for the demo."""

from importlib.util import find_spec
from pathlib import Path

from producer.inputs.source import BytesSource
from shared.errors import CamqError

#: Free photographs of things that ImageNet has classes for; the cat first.
SAMPLES = {
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "motorcycle": "motorcycle_left.png",
    "rocket": "rocket.jpg",
    "astronaut": "astronaut.png",
    "camera": "camera.png",
}


def samples() -> list[BytesSource]:
    """The photographs as sources named without a suffix. scikit-image itself is not imported."""
    package = find_spec("skimage")
    if package is None or not package.submodule_search_locations:
        raise CamqError("the demo's photographs come with scikit-image: pip install 'camq[demo]'")
    folder = Path(package.submodule_search_locations[0]) / "data"
    return [
        BytesSource(name, (folder / file).read_bytes()) for name, file in SAMPLES.items() if (folder / file).exists()
    ]
