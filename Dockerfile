# The server with its embedded models, on a CPU or a GPU (TORCH, PIP_ARGS); deploy/README.md explains.
#
#   docker build --tag perceiver-server .        or, with progress and this machine's pip settings:
#   deploy/build-image
#
# BASE needs python3 (3.11 or newer) and its venv module, nothing else.
ARG BASE=python:3.11-slim-bookworm

# Everything but our own code. What a build leaves behind stays in this stage: caches, arguments, pip.
FROM ${BASE} AS packages
ARG TORCH=torch==2.13.0
ARG PIP_ARGS=
# Where packages come from: the secret pip.conf, where the builder is given one.
ENV PIP_CONFIG_FILE=/run/secrets/pip.conf PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore PIP_PROGRESS_BAR=off
WORKDIR /build
RUN python3 -m venv pip && python3 -m venv --without-pip /opt/venv
COPY constraints.txt .
# What is removed is for torch's own tests and for compilers of C++ extensions: 200 MB.
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=pip.pem \
    pip/bin/pip --python /opt/venv/bin/python install --constraint constraints.txt ${PIP_ARGS} "${TORCH}" \
    && cd /opt/venv/lib/python3*/site-packages/torch && rm -rf include share test bin/*[Tt]est* bin/protoc*
COPY pyproject.toml .
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=pip.pem \
    python3 -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
    > requirements.txt \
    && pip/bin/pip --python /opt/venv/bin/python install --constraint constraints.txt --requirement requirements.txt

# Our own code, installed into a root of its own, so that the image gets it as a layer of its own.
FROM packages AS program
COPY . .
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=pip.pem \
    pip/bin/pip --python /opt/venv/bin/python install --no-deps --root /program .

FROM ${BASE}
COPY --from=packages /opt/venv /opt/venv
COPY --from=program /program/opt/venv /opt/venv
# Nothing is written but below /tmp, by any uid: the root file system may be read-only. pip has
# compiled every module, and no bytecode is written later. No keys are configured, so the server
# refuses this address until PERCEIVER_INSECURE=1 says that who may connect is settled elsewhere.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PERCEIVER_HOST=0.0.0.0
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ.get('PERCEIVER_HTTP_PORT', 8000)}/readyz\", timeout=4)"]
ENTRYPOINT ["perceiver-server"]
CMD ["serve"]

ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="perceiver-server" \
      org.opencontainers.image.description="Inference server for Perceiver and Perceiver IO, with small trained models" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
