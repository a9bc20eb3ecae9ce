"""Pictures as people have them, through the whole program: HEIC, DICOM, 12 bits, many bands, pages, cut short."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import tifffile
import torch
import torchvision
from PIL import Image

from tests.acceptance.local import camq
from tests.numeric.pictures import encoded, photo
from tests.support.pictures.dicoms import dicom

pytestmark = [pytest.mark.servers, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One of each, and weights."""
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "w.pth")
    (tmp_path / "in").mkdir()
    pillow_heif.register_heif_opener()
    ramp = np.linspace(1000, 4095, 80 * 100).reshape(80, 100).astype(np.uint16)
    files = {
        "1.heic": encoded(photo(200, 150), "HEIF"),
        "2": dicom(np.stack([ramp, ramp[::-1], ramp[:, ::-1]])),
        "3.png": encoded(Image.fromarray(ramp), "PNG"),
        "5.jpg": encoded(photo(200, 150), "JPEG")[:-500],
        "6.jpg": b"%PDF-1.7\n",
    }
    for name, data in files.items():
        (tmp_path / "in" / name).write_bytes(data)
    bands = np.dstack([ramp] * 5)
    tifffile.imwrite(tmp_path / "in" / "4.tif", bands, photometric="minisblack", planarconfig="contig")
    with zipfile.ZipFile(tmp_path / "scans.zip", "w") as packed:
        packed.writestr("a/scan", files["2"])
    return tmp_path


def test_pictures_as_people_have_them(folder: Path) -> None:
    """Each is explained, or fails with the right code; what is worth knowing stands in its result."""
    given = ("in", "in/2#3", "in/2#4", "scans.zip/a/scan#2")
    wishes = ("--weights", "w.pth", "--truncated", "keep", "--top-k", "1", "--overlay-size", "100", "--alpha", "0")
    done = camq("run", *given, *wishes, "--format", "png", "--out", "out", "--json", cwd=folder)
    assert done.returncode == 1, done.stderr
    found = {line["source"]: line for line in map(json.loads, done.stdout.splitlines())}

    failed = {name: line["error"]["code"] for name, line in found.items() if line["error"]}
    assert failed == {"in/6.jpg": "unsupported", "in/2#4": "not_found"}
    warned = {name: [one["code"] for one in line["warnings"]] for name, line in found.items() if "warnings" in line}
    assert warned == {"in/4.tif": ["bands"], "in/5.jpg": ["truncated"]}
    ramp = np.linspace(1000, 4095, 80 * 100).reshape(80, 100)
    stretched, stated = (ramp - 1000) / 3095 * 255, ramp / 4095 * 255  # by the data; by the 12 bits that DICOM states
    expected = {
        **{"in/3.png": stretched, "in/4.tif": stretched, "in/2": stated},
        **{"in/2#3": stated[:, ::-1], "scans.zip/a/scan#2": stated[::-1]},
    }
    for name, levels in expected.items():
        with Image.open(folder / "out" / found[name]["predictions"][0]["overlay"]) as overlay:
            seen = np.asarray(overlay.convert("L")).astype(float)
        middle = slice(20, 60), slice(20, 80)  # the box lies around it
        assert np.abs(seen - levels)[middle].max() < 2, name
