# One image for every role. The command picks it:
#   python -m pointsman_service api | dispatcher | recorder | reconciler | migrate
#   celery -A pointsman worker …

# Another registry or a mirror: --build-arg PYTHON_IMAGE=registry.example/python:3.13-slim-trixie
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
# What is in it: runtime (every role), service (the control plane alone) or workers (the workers alone).
ARG PART=runtime
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
# Only wheels, only those whose hash is locked, and no pip in the environment they go to.
COPY requirements.${PART}.lock /build/
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --require-hashes --only-binary :all: --no-compile \
        --requirement "/build/requirements.${PART}.lock"
COPY client /app/client
COPY contract /app/contract
COPY service /app/service
COPY workers /app/workers
COPY migrations /app/migrations
COPY alembic.ini /app/
RUN case "${PART}" in \
        service) rm -r /app/workers ;; \
        workers) rm -r /app/service /app/migrations /app/alembic.ini ;; \
    esac
# Compiled here, because nobody may write there later; by hash, because builders do not agree on the times of files.
RUN python -m compileall -q -j 0 --invalidation-mode checked-hash /opt/venv/lib /app

FROM ${PYTHON_IMAGE}
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/app/client:/app/contract:/app/service:/app/workers \
    PYTHONUNBUFFERED=1 \
    POINTSMAN_DATA_DIR=/var/lib/pointsman \
    POINTSMAN_PULSE_FILE=/tmp/pointsman.pulse
# The group needs a name, or Celery takes the process for root's. There is no home: nothing is written but in /tmp, and
# by tasks that write files in /var/lib/pointsman, where a new volume becomes the user's.
RUN groupadd --gid 10001 pointsman \
    && useradd --uid 10001 --gid 10001 --no-create-home --no-log-init --home-dir /nonexistent \
        --shell /usr/sbin/nologin pointsman \
    && install --directory --owner 10001 --group 10001 /var/lib/pointsman
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
USER 10001:10001

# True for every role: it reads what the process says of itself, and asks the API when the process serves it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "pointsman_contract.pulse"]
# The API ends its requests, a loop its pass, a worker its tasks.
STOPSIGNAL SIGTERM
EXPOSE 8000
CMD ["python", "-m", "pointsman_service", "api"]
