# The status page: what shows, and nothing that learns or answers.
FROM python:3.11-slim AS build
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PROJECT_ENVIRONMENT=/opt/venv
RUN pip install --no-cache-dir "uv>=0.5,<1"
WORKDIR /app
COPY pyproject.toml uv.lock README.md ./
RUN uv sync --frozen --no-default-groups --group ui --no-install-project

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home perennial \
    && install -d -o perennial -g perennial /data
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY settings.py ./
COPY problems ./problems
COPY storage ./storage
COPY learning ./learning
COPY ui ./ui
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    PERENNIAL_HOME=/data PERENNIAL_UI_HOST=0.0.0.0 \
    DO_NOT_TRACK=1 STREAMLIT_BROWSER_GATHER_USAGE_STATS=false
USER perennial
VOLUME /data
EXPOSE 8501
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=2)"]
CMD ["python", "-m", "ui"]
