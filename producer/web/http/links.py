"""Where things are in this version of the API."""

import msgspec

from producer.web.http import V1
from shared.contract import ImageRecord


def job_url(job: str) -> str:
    """The address of a job."""
    return f"{V1}/jobs/{job}"


def linked(job: str, record: ImageRecord) -> ImageRecord:
    """The record with the addresses of its overlays in the place of their keys, of which a client has no use."""
    predictions = tuple(
        line
        if line.overlay is None  # not drawn
        else msgspec.structs.replace(line, overlay=f"{job_url(job)}/images/{record.index}/overlays/{line.rank}")
        for line in record.predictions
    )
    return msgspec.structs.replace(record, predictions=predictions)
