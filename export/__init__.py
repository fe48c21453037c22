"""A trained recommender as SavedModels, a server that answers with them, and a client.

Its modules are imported as `tfrs_timirec.export`, which is this folder from any working directory.
"""
