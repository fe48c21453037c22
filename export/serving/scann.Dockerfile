# TF-Serving with ScaNN's operations, and so with both models, of 2022: no newer version is known.
# The build context is this folder.
FROM google/tf-serving-scann:2.11.0

COPY models.scann.config batching.config monitoring.config /config/

EXPOSE 8500 8501
ENTRYPOINT ["tensorflow_model_server", \
    "--port=8500", \
    "--rest_api_port=8501", \
    "--model_config_file=/config/models.scann.config", \
    "--monitoring_config_file=/config/monitoring.config"]
