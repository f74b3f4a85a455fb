# A worker: renders, trains, curates, evaluates.
FROM python:3.11-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1
# drawing the embedded mini world needs both
RUN apt-get update && apt-get install -y --no-install-recommends libegl1 libgl1 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN pip install -c constraints.txt --index-url "$TORCH_INDEX" torch
COPY charaforge charaforge
COPY backend backend
RUN pip install -c constraints.txt -e '.[train,data,service]'
COPY train train
COPY docs/prompts docs/prompts
RUN useradd --uid 1000 forge
USER forge
CMD ["celery", "-A", "backend.jobs.worker", "worker", "--loglevel=INFO"]
