"""Titles and categories, from files of many kinds."""

import gzip

import pyarrow as pa
import pytest

from tfrs_timirec import UserError
from tfrs_timirec.data.metadata import read_categories, read_metadata
from tfrs_timirec.export.settings import ExportSettings


def test_categories_stand_between_bars_or_as_the_header_says_between_spaces(tmp_path):
    ids = pa.array(["1", "2", "3"])
    typed = tmp_path / "typed.item"
    typed.write_text("item_id:token\ttitle:token_seq\tclass:token_seq\n1\tA b\tX Y\n2\tC\tX\n")
    settings = ExportSettings(titles=str(typed), categories_column="class")
    assert read_categories(settings, ids) == [["X", "Y"], ["X"], []]
    assert read_metadata(settings, "title", ids) == ["A b", "C", ""]
    twice = tmp_path / "twice.csv"
    twice.write_text("item_id,title\n1,A\n2,B\n1,A\n9,X\n9,Y\n")
    assert read_metadata(ExportSettings(titles=str(twice)), "title", ids) == ["A", "B", ""]
    twice.write_text("item_id,title\n1,A\n2,B\n1,C\n")
    with pytest.raises(UserError, match="several rows of the item 1: give each"):
        read_metadata(ExportSettings(titles=str(twice)), "title", ids)
    plain = tmp_path / "plain.csv"
    plain.write_text("item_id,title,class\n1,A,Video Games|Toys|Toys\n")
    settings = ExportSettings(titles=str(plain), categories_column="class")
    assert read_categories(settings, ids) == [["Video Games", "Toys"], [], []]
    assert read_categories(ExportSettings(), ids) is None


@pytest.mark.parametrize("ending", ["tsv", "csv", "tsv.gz", "csv.gz"])
def test_what_is_in_every_row_is_no_delimiter(tmp_path, ending):
    path = tmp_path / f"kinds.{ending}"
    opened = gzip.open if path.suffix == ".gz" else open
    mark, quote = ("\t", "") if ending.startswith("tsv") else (",", '"')
    rows = [("item_id", "title", "kind"), *((f"{i}", f"T {i}; U", "a|b, c|d") for i in range(9))]
    with opened(path, "wt") as file:
        file.writelines(mark.join(f"{quote}{c}{quote}" for c in row) + "\n" for row in rows)
    settings = ExportSettings(titles=str(path), categories_column="kind")
    assert read_categories(settings, pa.array([1])) == [["a", "b, c", "d"]]
    assert read_metadata(settings, "title", pa.array([1])) == ["T 1; U"]
    with opened(path, "wt"):
        pass
    with pytest.raises(UserError, match="are empty: give a line of names and rows"):
        read_categories(settings, pa.array([1]))


def test_a_compressed_file_that_is_cut_off_or_is_none_is_told(tmp_path):
    path = tmp_path / "titles.csv.gz"
    for content in (gzip.compress(b"item_id,title\n1,A\n")[:-12], b"item_id,title\n1,A\n"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="titles.csv.gz cannot be read"):
            read_metadata(ExportSettings(titles=str(path)), "title", pa.array([1]))


def test_a_name_that_reads_like_a_pattern_is_one_file(tmp_path):
    for name in ("movies1", "movies[1]"):
        (tmp_path / f"{name}.csv").write_text(f"item_id,title\n1,{name}\n")
        (tmp_path / f"{name}.dat").write_text(f"1::{name}::Drama\n")
    for ending in ("csv", "dat"):
        settings = ExportSettings(titles=str(tmp_path / f"movies[1].{ending}"))
        assert read_metadata(settings, "title", pa.array([1])) == ["movies[1]"]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_titles_and_genres_of_movielens_have_names(tmp_path, encoding):
    path = tmp_path / "movies.dat"
    path.write_text('1::Misérables, Les: "A" (1995)::Drama|War\n3::B::Crime\n', encoding)
    settings = ExportSettings(titles=str(path), categories_column="genres")
    ids = pa.array([1, 2, 3])
    assert read_metadata(settings, "title", ids) == ['Misérables, Les: "A" (1995)', "", "B"]
    assert read_categories(settings, ids) == [["Drama", "War"], [], ["Crime"]]
