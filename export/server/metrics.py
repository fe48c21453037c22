"""What Prometheus is told."""

from prometheus_client import Counter, Gauge, Histogram

SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5]

REQUESTS = Counter(
    "timirec_requests", "Requests by model, signature and status.", ["model", "signature", "status"]
)
LATENCY = Histogram(
    "timirec_request_seconds", "Time to an answer.", ["model", "signature"], buckets=SECONDS
)
BATCH_ROWS = Histogram(
    "timirec_batch_rows", "Rows computed together.", buckets=[1, 2, 4, 8, 16, 32, 64, 128, 256]
)
WAITING = Gauge("timirec_waiting_requests", "Requests that wait for a worker.")
SERVING = Gauge("timirec_serving_version", "The version that answers.", ["model"])
