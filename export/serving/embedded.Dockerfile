# The embedded server, which has ScaNN's operations of the version that built the index: it serves
# both `exact` and `scann`. The build context is the root of the repository.
FROM python:3.11-slim

WORKDIR /app
COPY requirements.txt ./
RUN pip install --no-cache-dir --requirement requirements.txt
COPY tfrs_timirec tfrs_timirec
COPY export export

RUN useradd --system serving
USER serving
EXPOSE 8500 9100
ENTRYPOINT ["python", "-m", "tfrs_timirec.export.server", "/models", "--host=0.0.0.0", "--port=8500", \
    "--metrics_port=9100", "--metrics_host=0.0.0.0"]
