"""The frame of pages and the pictures in it."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

import tfrs_timirec.pages
from tfrs_timirec.pages.pictures import MARKERS, SERIES, picture

# How dichromats see linear RGB (Machado, Oliveira and Fernandes, IEEE TVCG 2009, severity 1).
SIGHT = {
    "all three cones": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def palettes() -> list[dict[str, str]]:
    """The colours of the page, light and dark, by name."""
    style = (Path(tfrs_timirec.pages.__file__).parent / "base.html").read_text()
    blocks = re.findall(r":root \{(.*?)\}", style)
    return [dict(re.findall(r"--([\w-]+): (#\w+)", block)) for block in blocks]


def linear(colour: str) -> np.ndarray:
    if len(colour) == 4:
        colour = "#" + "".join(2 * digit for digit in colour[1:])
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(values: np.ndarray) -> np.ndarray:
    x, y, z = np.cbrt(TO_XYZ @ values / TO_XYZ.sum(axis=1))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("palette", palettes(), ids=["light", "dark"])
def test_everyone_tells_the_series_apart(palette):
    series = [palette[f"series-{number + 1}"] for number in range(len(SERIES))]
    assert len(set(MARKERS)) >= len(series)
    for sight, matrix in SIGHT.items():
        seen = [lab(np.clip(np.array(matrix) @ linear(colour), 0, 1)) for colour in series]
        for first, second in itertools.combinations(seen, 2):
            # Of the CIE 1976 difference 2 is just noticed.
            assert np.linalg.norm(first - second) > 10, sight


@pytest.mark.parametrize("palette", palettes(), ids=["light", "dark"])
def test_letters_and_marks_stand_out(palette):
    def luminance(name):
        return TO_XYZ[1] @ linear(palette[name]) + 0.05

    # WCAG 2.2, 1.4.3 for letters and 1.4.11 for what is drawn.
    for name in palette.keys() - {"ground", "line"}:
        lighter, darker = sorted([luminance(name), luminance("ground")], reverse=True)
        assert lighter / darker > (3 if name.startswith("series") else 4.5), name


def test_a_picture_has_its_words_and_the_colours_of_the_page():
    def draw(axes):
        axes.plot([0, 1], [0, 1], color=SERIES[0], label='<&" $x$')
        axes.legend()

    first, second = (picture("caption", 'what "is" <there>', draw) for _ in range(2))
    assert first == second
    assert first.svg.startswith('<svg role="img" aria-label="what &quot;is&quot; &lt;there&gt;"')
    assert "var(--series-1)" in first.svg and "#0102" not in first.svg
    assert '&lt;&amp;" $x$' in first.svg
