# What learns. The worker, the Prefect server and the MLflow server run from this one image.
FROM python:3.11-slim AS build
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PROJECT_ENVIRONMENT=/opt/venv
RUN pip install --no-cache-dir "uv>=0.5,<1"
WORKDIR /app
COPY pyproject.toml uv.lock README.md ./
RUN uv sync --frozen --no-default-groups --group pipeline --no-install-project

FROM python:3.11-slim
# LightGBM's threads.
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --create-home perennial \
    && install -d -o perennial -g perennial /data
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY settings.py cli.py entry.py prefect.yaml ./
COPY problems ./problems
COPY learning ./learning
COPY storage ./storage
COPY tasks ./tasks
COPY flows ./flows
COPY api ./api
COPY operate ./operate
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    PERENNIAL_HOME=/data PREFECT_HOME=/tmp/prefect \
    DO_NOT_TRACK=1 PREFECT_SERVER_ANALYTICS_ENABLED=false MLFLOW_DISABLE_TELEMETRY=true
USER perennial
VOLUME /data
CMD ["python", "-m", "cli", "worker"]
