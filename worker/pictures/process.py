"""`python -m worker.pictures.process SETUP LIBRARY…`: decodes strangers' pictures, draws on them, can do nothing else.

The libraries are loaded first.
"""

import sys
import time
import traceback
from dataclasses import replace
from io import BytesIO

import msgspec
import numpy as np
from PIL import AvifImagePlugin, Image

from shared.contract import Options
from shared.errors import ImageError
from shared.pictures import Library
from shared.processes.confined import Channel, Data, allow_seconds, confine
from worker.core.drawing.render import encode, paint
from worker.core.picture.decode import OUT_OF_MEMORY, PostponedError
from worker.core.picture.libraries import THREADED, NeededError, load, seal
from worker.core.picture.preprocess import prepare
from worker.core.types import BYTES_PER_PIXEL, Caption, Prepared
from worker.pictures import wire

#: Of an error's text, and of its trace: they may quote the picture's bytes.
MOST_CHARACTERS = 2000
_NOTHING = np.empty(0, np.uint8)


class Desk:
    """Answers requests, one at a time; the canvases of pictures that wait for their maps lie here."""

    def __init__(self, setup: wire.Setup) -> None:
        self._setup = setup
        self._canvases: dict[int, Prepared] = {}
        self._requests = msgspec.json.Decoder(wire.Request)

    def answer(self, head: bytearray, body: bytearray) -> tuple[bytes, list[Data]]:
        """The reply to one request, with its body."""
        request, bodies = self._requests.decode(head), list[Data]()
        reply: wire.Reply
        maps = request.shape[0] if isinstance(request, wire.Draw) else 1
        allow_seconds(self._setup.decode_s * maps)
        try:
            match request:
                case wire.Decode():
                    reply, bodies = self._decode(request, body)
                case wire.Draw():
                    reply, bodies = self._draw(request, body)
                case wire.Release(key):
                    self._canvases.pop(key, None)
                    reply = wire.Released()
        except ImageError as error:
            reply = wire.Failed(error.code, error.message)
        except MemoryError:
            reply = wire.Failed("too_large", OUT_OF_MEMORY)
        except Exception as error:  # noqa: BLE001 - this work sees nothing but the picture, so it is the picture's failure
            work = type(request).__name__.lower()
            message = f"{work} failed: {type(error).__name__}: {str(error)[:MOST_CHARACTERS]}"
            reply = wire.Failed("inference", message, traceback.format_exc(chain=False)[-MOST_CHARACTERS:])
        allow_seconds(0)
        return msgspec.json.encode(reply), bodies

    def _decode(self, request: wire.Decode, data: bytearray) -> tuple[wire.Reply, list[Data]]:
        setup, options, started = self._setup, request.options, time.perf_counter()
        height, width = setup.spec.sides(options.input_size)
        need = 0

        def look(pixels: int) -> None:
            nonlocal need
            need = len(data) + BYTES_PER_PIXEL * pixels + wire.BYTES_PER_INPUT_PIXEL * height * width
            if need > wire.UNASKED_BYTES and not request.granted:
                raise PostponedError

        try:
            found = prepare(data, options, setup.spec, setup.limits, look, request.page)
        except PostponedError:
            return wire.Large(need), []
        except NeededError as error:
            return wire.Needed(error.library), []
        self._canvases[request.key] = replace(found, pixels=_NOTHING)
        kept = wire.BYTES_PER_CANVAS_PIXEL * found.canvas.width * found.canvas.height
        if wire.is_full_size(options):
            kept += wire.BYTES_PER_FULL_PIXEL * found.geometry.width * found.geometry.height
        reply = wire.Decoded(found.geometry, kept, time.perf_counter() - started, found.warnings[: wire.MOST_WARNINGS])
        return reply, [found.pixels.tobytes()]

    def _draw(self, request: wire.Draw, body: bytearray) -> tuple[wire.Reply, list[Data]]:
        prepared = self._canvases.pop(request.key)
        colours = np.frombuffer(body, np.uint8, 256 * 3).reshape(256, 3)
        maps = np.frombuffer(body, np.float32, offset=colours.nbytes).reshape(request.shape)
        drawn, files = list[wire.Drawn](), list[Data]()
        encode_s, started = 0.0, time.perf_counter()
        for painting in paint(prepared, list(maps), colours, request.options, request.captions):
            begun = time.perf_counter()
            drawing = encode(painting, request.options)
            encode_s += time.perf_counter() - begun
            made = [drawing.overlay, drawing.heatmap or b"", drawing.mask or b"", drawing.runs or b""]
            files += made
            found = drawing.box, drawing.boxes, drawing.map_min, drawing.map_max, drawing.flat
            overlay, heatmap, mask, runs = map(len, made)
            drawn.append(wire.Drawn(overlay, heatmap, mask, runs, *found))
        return wire.Drawings(drawn, time.perf_counter() - started - encode_s, encode_s), files


def rehearse(desk: Desk) -> None:
    """Load all that the work loads when it first needs it; later this process can open no file."""
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # there is a process for each core
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "GIF"):
        file = BytesIO()
        Image.linear_gradient("L").save(file, kind)
        options = Options(
            overlay_size=128, heatmaps="full", format="webp" if kind == "WEBP" else "jpeg", boxes=4, masks=True
        )
        decode = wire.Decode(0, options, granted=True)
        desk.answer(bytearray(msgspec.json.encode(decode)), bytearray(file.getvalue()))
        draw = wire.Draw(0, options, (1, 4, 4), (Caption("class", 0, 0.5),))
        spots = np.eye(4, dtype=np.float32)  # four components, which have to be told apart
        desk.answer(bytearray(msgspec.json.encode(draw)), bytearray(256 * 3) + spots.tobytes())


def main() -> None:
    """Answers until the parent closes its end."""
    setup = msgspec.json.decode(sys.argv[1], type=wire.Setup)
    channel, desk = Channel(), Desk(setup)
    libraries = msgspec.convert(sys.argv[2:], list[Library])
    for library in libraries:
        load(library)
    rehearse(desk)
    seal()
    confine(setup.memory, threads=not THREADED.isdisjoint(libraries))
    channel.serve(desk.answer)


if __name__ == "__main__":
    main()
