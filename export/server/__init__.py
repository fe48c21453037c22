"""A server with TF-Serving's gRPC interface, for development, tests and small installations."""
