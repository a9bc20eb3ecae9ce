"""What ends the work on a chunk that is in hand, wherever on its way an image is."""

from shared.errors import CamqError

#: Deaths of a process with the same picture in hand before that picture is `poison`. One may be chance (the system ran
#: out of memory and chose this process); the next is the picture's doing.
DEATHS_TO_POISON = 2


class CancelledJobError(CamqError):
    """The job was cancelled; its images end as `cancelled`."""


class HandBackError(CamqError):
    """The worker is stopping; the chunk goes back to the queue and no attempt is charged."""
