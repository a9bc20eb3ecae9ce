"""A handler that reads the form of `POST /v1/explain` and answers one line: `python -m bench.bare_api PORT`."""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

#: As long as a result with one prediction.
_ANSWER = {"index": 0, "source": "a.jpg", "state": "succeeded", "predictions": [{"rank": 1, "label": "x" * 300}]}


async def explain(request: Request) -> Response:
    """The picture's bytes are read and thrown away."""
    form = await request.form()
    picture = form["picture"]
    await picture.read()  # type: ignore[union-attr]
    return JSONResponse(_ANSWER)


if __name__ == "__main__":
    app = Starlette(routes=[Route("/v1/explain", explain, methods=["POST"])])
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False, http="h11", ws="none")
