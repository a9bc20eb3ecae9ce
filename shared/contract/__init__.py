"""What travels between producer and worker: messages, options, references, results, cards and states.

Frozen types, JSON both ways, `schema_version` first.
"""

from shared.contract.codec import SCHEMA_VERSION, decode, decode_lines, encode, encode_lines
from shared.contract.job_options import (
    EXTENSIONS,
    FORMATS,
    LARGEST_INPUT,
    METHODS,
    PRIORITIES,
    SLOW_METHODS,
    SMALLEST_INPUT,
    Format,
    Method,
    Options,
    Priority,
)
from shared.contract.model_card import (
    INTERPOLATIONS,
    OUTPUTS,
    RESIZES,
    Interpolation,
    ModelCard,
    Outputs,
    Preprocessing,
    Resize,
)
from shared.contract.model_file import Activation, InputTable, ModelFile
from shared.contract.records import (
    CHUNK_TASK,
    EXPLAIN_TASK,
    MAX_IMAGES_PER_JOB,
    ChunkId,
    ChunkMessage,
    ErrorInfo,
    FieldValue,
    ImageRecord,
    ImageRef,
    JobId,
    PredictionRecord,
)
from shared.contract.states import TRANSITIONS, ImageState, JobState, job_state
from shared.contract.status import JobStatus, StageTime, WebhookStatus, WorkerInfo

__all__ = [
    "CHUNK_TASK",
    "EXPLAIN_TASK",
    "EXTENSIONS",
    "FORMATS",
    "INTERPOLATIONS",
    "LARGEST_INPUT",
    "MAX_IMAGES_PER_JOB",
    "METHODS",
    "OUTPUTS",
    "PRIORITIES",
    "RESIZES",
    "SCHEMA_VERSION",
    "SLOW_METHODS",
    "SMALLEST_INPUT",
    "TRANSITIONS",
    "Activation",
    "ChunkId",
    "ChunkMessage",
    "ErrorInfo",
    "FieldValue",
    "Format",
    "ImageRecord",
    "ImageRef",
    "ImageState",
    "InputTable",
    "Interpolation",
    "JobId",
    "JobState",
    "JobStatus",
    "Method",
    "ModelCard",
    "ModelFile",
    "Options",
    "Outputs",
    "PredictionRecord",
    "Preprocessing",
    "Priority",
    "Resize",
    "StageTime",
    "WebhookStatus",
    "WorkerInfo",
    "decode",
    "decode_lines",
    "encode",
    "encode_lines",
    "job_state",
]
