# The image of all of camq: worker, exporter, live page, and `docker run camq:dev status JOB` is the whole command.
#
#   docker build -t camq:dev .
#   docker build -t camq:cpu --build-arg TORCH_INDEX=URL .
#   docker build -t camq:resnet50 --build-arg BAKE_MODEL=resnet50 .
#   docker build -t camq:timm --build-arg EXTRAS=timm,transformers .
#
# One image serves CPU and GPU: the torch wheels of the public package index bring CUDA libraries (several GB) and
# run on a CPU as well. A small CPU image needs torch's own index of CPU builds; give its address as TORCH_INDEX.
# torch and torchvision then come from there in the locked versions but without the lock's hashes, which are of
# the other builds. BAKE_MODEL puts a model's published weights into the image, outside /models, where a volume would
# hide them; such an image downloads no others. Without it they are downloaded to /models at the first start, or
# mounted (CAMQ_WEIGHTS). EXTRAS are further extras of camq, in the locked versions: `timm` for `--model timm:NAME`,
# `transformers` for folders of Hugging Face's. Linted by hadolint.

# Give a digest (python@sha256:…) where builds must be the same for ever.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS dependencies
ARG TORCH_INDEX=
ARG EXTRAS=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/camq
# A layer of gigabytes, here and in the image; a change of the code leaves both as they are.
COPY pyproject.toml requirements.lock ./
COPY deploy/runtime_lock.py deploy/
RUN python deploy/runtime_lock.py "--extras=$EXTRAS" ${TORCH_INDEX:+--without-torch} > runtime.lock \
    && /opt/camq/bin/pip install --only-binary :all: --require-hashes --no-deps -r runtime.lock
RUN if [ -n "$TORCH_INDEX" ]; then \
        python deploy/runtime_lock.py --torch-only > torch.lock \
        && /opt/camq/bin/pip install --only-binary :all: --no-deps --index-url "$TORCH_INDEX" -r torch.lock; \
    fi

FROM dependencies AS code
COPY README.md LICENSE ./
COPY shared shared
COPY producer producer
COPY worker worker
RUN /opt/camq/bin/pip install --no-deps --no-build-isolation --prefix /opt/code . \
    && PYTHONPATH=$(echo /opt/code/lib/python*/site-packages) /opt/camq/bin/pip check

FROM ${PYTHON_IMAGE}
ARG BAKE_MODEL=
ARG VERSION=dev
ARG REVISION=
LABEL org.opencontainers.image.title="camq" \
      org.opencontainers.image.description="Class activation maps as a queue-based service" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# /models: downloaded weights. /slots: which worker owns which GPU. /uploads: pictures on their way through the live page.
# Volumes take over these folders' owner.
RUN useradd --create-home --uid 10001 --user-group camq \
    && install -d -o camq -g camq /models /slots /uploads /opt/models
COPY --from=dependencies /opt/camq /opt/camq
COPY --from=code /opt/code /opt/camq
COPY deploy/healthcheck.py /opt/camq/healthcheck.py
# NVML, which lists the GPUs before torch is loaded, is the driver's `utility` part.
# Weights from s3:// are kept in the cache.
ENV PATH=/opt/camq/bin:$PATH TORCH_HOME=${BAKE_MODEL:+/opt}/models \
    HF_HOME=${BAKE_MODEL:+/opt}/models/huggingface XDG_CACHE_HOME=/models \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    CAMQ_HTTP_HOST=0.0.0.0 CAMQ_HTTP_PORT=9100 NVIDIA_DRIVER_CAPABILITIES=compute,utility
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /home/camq
RUN if [ -n "$BAKE_MODEL" ]; then python -m worker fetch "$BAKE_MODEL"; fi
EXPOSE 9100
# Loading torch and the weights, perhaps downloading them first, is what the start period is for.
HEALTHCHECK --interval=15s --timeout=10s --start-period=180s --retries=3 \
    CMD ["python", "/opt/camq/healthcheck.py", "http://127.0.0.1:9100/ready"]
ENTRYPOINT ["camq"]
CMD ["worker"]
