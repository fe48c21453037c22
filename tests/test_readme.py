"""The README's Python, run as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

USE = """
import numpy as np
histories = np.random.default_rng(0).integers(0, 10_000, (64, 20)).astype("int32")
candidates = np.arange(64, dtype="int32")
model.fit([histories, candidates], np.arange(64) % 2, verbose=0)
expected = model.predict([histories, candidates], verbose=0)
model.save("model.keras")
found = keras.models.load_model("model.keras").predict([histories, candidates], verbose=0)
np.testing.assert_array_equal(found, expected)
assert np.ptp(expected) > 0
"""


def test_the_layers_snippet_fits_saves_and_loads(tmp_path):
    (snippet,) = (
        code
        for code in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        if "tfrs_timirec.layers" in code
    )
    script = tmp_path / "snippet.py"
    script.write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{snippet}{USE}")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
