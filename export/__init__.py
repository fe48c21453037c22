"""A trained run as SavedModels, a server that answers with them, and a client."""
