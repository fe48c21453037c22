"""SavedModels, a server that answers with them, and a client: the top-level folder `export`.

By this name the folder is found from any working directory. `import export` would take an
`export.py` of the user's own instead, and run it.
"""

from pathlib import Path

__path__ = [str(Path(__file__).parents[2] / "export")]
