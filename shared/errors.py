"""Every error camq raises on purpose, by who must act.

CamqError
├── UsageError          the caller changes the command, the option or the input        exit 2
│   └── TakenError      the caller takes another job id: this one holds another request exit 2
├── UnknownJobError     the caller gives the id of a job that exists                   exit 3
├── UnreachableError    the operator brings a service back; trying again helps         exit 4
│   └── DeletionError   nobody: what is being deleted will be gone soon; trying again helps
├── DeniedError         the operator mends rights or region; trying again helps then   exit 2
│   └── CredentialsError the operator mends the credentials or this machine's clock    exit 2
├── UnavailableError    the owner of an object brings it back from where it cannot be read
├── NotFoundError       an object is not there; trying again does not help
├── ObjectTooLargeError an object is above the limit its reader set
├── EmbeddedError       the operator frees the folder or installs the server           exit 5
├── ModelError          the operator gives weights that fit, or another model          exit 5
├── MessageError        nobody: the message is refused and recorded
├── NewerSchemaError    nobody: a worker that knows the newer version takes it
├── LostLeaseError      nobody: another attempt owns the chunk now
└── ImageError          one image fails, with a code and a sentence; its neighbours go on
"""


class CamqError(Exception):
    """Root of the tree. `exit_code` is what a command ends with when it reaches the user."""

    exit_code = 5


class UsageError(CamqError):
    """The request cannot be carried out as written; the message names the allowed values."""

    exit_code = 2


class TakenError(UsageError):
    """The job id belongs to a job with another model, other options, pictures or ids."""


class UnknownJobError(CamqError):
    """No job has this id: it never existed, was removed, or its retention ran out."""

    exit_code = 3


class UnreachableError(CamqError):
    """A service does not answer. The message names its address, never its password."""

    exit_code = 4


class DeletionError(UnreachableError):
    """`camq rm` or `camq gc` deletes objects that may be needed; what needs them is to be tried again."""


class DeniedError(CamqError):
    """The object store refuses the request: by its rights, or because the bucket is in another region.

    A worker waits until camq's own bucket is open to it again; a command reports it at once.
    """

    exit_code = 2


class CredentialsError(DeniedError):
    """The object store does not accept these credentials, so every request is refused, to whatever bucket."""


class UnavailableError(CamqError):
    """The object is there, but the object store does not give it out now: cold storage, a bucket in another region."""


class NotFoundError(CamqError):
    """The object store has no object under this key."""


class ObjectTooLargeError(CamqError):
    """The object is larger than its reader allows; its body was not downloaded."""


class EmbeddedError(CamqError):
    """An embedded server cannot be started; the message says why and what to do."""


class ModelError(CamqError):
    """A network or its weights cannot be loaded or do not qualify; the message says why and what to do."""


class MessageError(CamqError):
    """A message or stored entry is malformed. It is refused, never guessed at."""


class NewerSchemaError(CamqError):
    """A message or stored entry was written by a newer release; it is left for a worker that knows it."""


class LostLeaseError(CamqError):
    """This attempt no longer owns its chunk, so nothing it did may count."""


class ImageError(CamqError):
    """One image's failure.

    `code` is one of CODES and stays stable for programs; `message` is a sentence for people.
    """

    def __init__(self, code: str, message: str) -> None:
        if code not in CODES:
            raise ValueError(f"unknown image error code {code!r}")
        super().__init__(message)
        self.code = code
        self.message = message


#: Why an image can fail. Programs rely on the codes; a new one is added, none is renamed.
CODES = {
    "not_an_image": "the bytes are not a picture in a format camq reads",
    "unsupported": "a known kind of file that camq does not read; the message says which, and how to convert it",
    "truncated": "the picture ends before its data is complete",
    "damaged": "the picture is complete in length, but its data is corrupt",
    "empty": "the file has no bytes",
    "not_found": "the input is not there",
    "denied": "no permission to read the input: file or object rights, CAMQ_INPUT_PREFIXES, or where a URL leads",
    "unavailable": "the input is there, but cannot be read now: cold storage, another region, a failing disk",
    "too_large": "the file or the picture exceeds a limit",
    "timeout": "decoding or drawing took longer than allowed",
    "poison": "the picture killed the process that decoded, classified or drew it",
    "inference": "the network or the map failed on this picture, or it came to no end in quarantine",
    "internal": "camq failed on this picture unexpectedly; the message says why",
    "output": "the overlays cannot be written to the output that the job asked for",
}

#: Codes that a second look at the same bytes does not mend.
PERMANENT = frozenset({"not_an_image", "unsupported", "truncated", "damaged", "empty", "too_large", "poison"})

#: What the result of a picture may warn of.
WARNINGS = {
    "truncated": "the picture ends early or is damaged; what is there was used (--truncated keep)",
    "bands": "the picture has more bands than red, green and blue; the first three were used",
    "dark": "the picture is nearly black in the range of values that was used; --range data stretches it",
}
