"""What ends the work on a chunk that is in hand, wherever on its way an image is."""

from shared.errors import CamqError


class CancelledJobError(CamqError):
    """The job was cancelled; its images end as `cancelled`."""


class HandBackError(CamqError):
    """The worker is stopping; the chunk goes back to the queue and no attempt is charged."""
