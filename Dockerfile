# One small image for all services and jobs; each is a command: python -P -m splitter, rowstream migrate, ...
FROM python:3.11.13-slim-bookworm AS build
WORKDIR /build
# What is pinned, checked by its hashes; of it only what the services need is installed below.
COPY requirements.txt ./
RUN python -m pip download --disable-pip-version-check --require-hashes --requirement requirements.txt --dest /wheels
COPY pyproject.toml README.md ./
COPY rowstream rowstream
COPY ingest_gateway ingest_gateway
COPY splitter splitter
COPY record_processor record_processor
COPY auditor auditor
COPY record_types record_types
COPY schemas schemas
# With bytecode: the image's user cannot write it later, and without it each start takes more than twice as long.
RUN python -m venv /opt/rowstream \
    && /opt/rowstream/bin/python -m pip install --disable-pip-version-check --no-index --find-links /wheels .

FROM python:3.11.13-slim-bookworm
LABEL org.opencontainers.image.title="rowstream" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/rowstream /opt/rowstream
RUN useradd --uid 10001 --user-group --create-home --home-dir /srv/rowstream rowstream \
    && install --directory --mode 700 --owner rowstream --group rowstream /srv/rowstream/secrets
USER 10001:10001
WORKDIR /srv/rowstream
ENV PATH=/opt/rowstream/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    POLARS_MAX_THREADS=1 \
    MALLOC_ARENA_MAX=2 \
    ARROW_DEFAULT_MEMORY_POOL=system \
    ROWSTREAM_HTTP__HOST=0.0.0.0 \
    ROWSTREAM_HTTP__PORT=8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=6 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
CMD ["rowstream", "--help"]
