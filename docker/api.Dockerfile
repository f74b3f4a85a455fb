# The REST service. It never loads torch: pictures are made by workers.
FROM python:3.11-slim
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY charaforge charaforge
COPY backend backend
RUN pip install -c constraints.txt -e '.[service,ui]'
COPY train/configs train/configs
COPY docs/prompts docs/prompts
RUN useradd --uid 1000 forge
USER forge
EXPOSE 8000
CMD ["uvicorn", "backend.main:app", "--host", "0.0.0.0", "--port", "8000"]
