"""A plain worker for comparison: what one writes first when a notebook becomes a service.

One Celery task per picture on the prefork pool; each child holds the network and does the notebook's steps,
batch 1: fetch, decode, transform, forward with a hook, one map, resize, colour, blend, JPEG, store.
    celery -A bench.plain worker
"""

import io
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from celery import Celery, signals
from minio import Minio
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torchvision import transforms

from bench.network import published

QUEUE = "plain"
app = Celery("plain", broker=os.environ.get("CAMQ_REDIS_URL"), backend=os.environ.get("CAMQ_REDIS_URL"))
app.conf.task_default_queue = QUEUE
app.conf.worker_prefetch_multiplier = 4

_TRANSFORM = transforms.Compose(
    [
        transforms.Resize((224, 224)),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
)


class _Child:
    """What one process of the pool holds."""

    network: nn.Module
    weight: np.ndarray
    caught: list[np.ndarray]
    store: Minio


@signals.worker_process_init.connect
def _load(**_: Any) -> None:
    torch.set_num_threads(1)  # one process per core
    _Child.network = published(Path(os.environ["CAMQ_WEIGHTS"]), "cpu").requires_grad_(requires_grad=False)
    _Child.weight = _Child.network.fc.weight.numpy()
    _Child.caught = []
    _Child.network.layer4.register_forward_hook(lambda _m, _i, output: _Child.caught.append(output.numpy()))
    _Child.store = Minio(
        os.environ["CAMQ_S3_ENDPOINT"],
        os.environ["CAMQ_S3_ACCESS_KEY"],
        os.environ["CAMQ_S3_SECRET_KEY"],
        secure=False,
        region="us-east-1",
    )


@app.task
def explain(key: str, bucket: str) -> dict[str, Any]:
    """One picture: its best class, and its overlay beside it in the bucket."""
    response = _Child.store.get_object(bucket, key)
    picture = Image.open(io.BytesIO(response.read())).convert("RGB")
    response.release_conn()

    _Child.caught.clear()
    with torch.inference_mode():
        logits = _Child.network(_TRANSFORM(picture).unsqueeze(0))
    probability, best = F.softmax(logits, dim=1)[0].max(0)

    activations = _Child.caught[0][0]
    channels, height, width = activations.shape
    cam = _Child.weight[int(best)].dot(activations.reshape(channels, height * width)).reshape(height, width)
    cam = cam - cam.min()
    cam = np.uint8(255 * cam / cam.max())

    under = np.asarray(picture.resize((224, 224)))
    heat = cv2.cvtColor(cv2.applyColorMap(cv2.resize(cam, (224, 224)), cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
    overlay = Image.fromarray(np.uint8(heat * 0.5 + under * 0.5))
    buffer = io.BytesIO()
    overlay.save(buffer, "JPEG", quality=90)
    data = buffer.getvalue()
    _Child.store.put_object(bucket, f"{key}-overlay.jpg", io.BytesIO(data), len(data), "image/jpeg")
    return {"class": int(best), "probability": float(probability)}
