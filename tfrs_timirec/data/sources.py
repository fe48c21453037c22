"""The public logs that are known by name, and how their files get here."""

import hashlib
import shutil
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from tfrs_timirec.data.layouts import RATINGS, TextLayout
from tfrs_timirec.errors import UserError
from tfrs_timirec.files import locked, told, write_whole

_CONNECT_SECONDS, _READ_SECONDS = 10, 60


@dataclass(frozen=True)
class Source:
    """A public log.

    Args:
        url: The file to download.
        sha256: Its checksum.
        layout: How the rows of the ratings file are written.
        member: The ratings file in the downloaded zip; None if it was the ratings file itself.
    """

    url: str
    sha256: str
    layout: TextLayout
    member: str | None = None


SOURCES = {
    "beauty": Source(
        "http://snap.stanford.edu/data/amazon/productGraph/categoryFiles/ratings_Beauty.csv",
        "17d5232b90444beecfe758ce1446e5300230491f3a88ac802992ca95fc4c150f",
        TextLayout(",", RATINGS),
    ),
    "ml-1m": Source(
        "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
        "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
        TextLayout("::", RATINGS),
        "ml-1m/ratings.dat",
    ),
    "ml-100k": Source(
        "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
        "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
        TextLayout("\t", RATINGS),
        "ml-100k/u.data",
    ),
}


def fetch(name: str, folder: Path) -> Path:
    """Gets the ratings file of a named source, downloading it unless it is there.

    Args:
        name: One of `SOURCES`.
        folder: Where downloads are kept, each source's in a folder of its name.

    Returns:
        The path of the ratings file.

    Raises:
        UserError: The download failed or is not the file expected.
    """
    source = SOURCES[name]
    download = folder / name / source.url.rsplit("/", 1)[1]
    ratings = folder / name / Path(source.member).name if source.member else download
    if ratings.exists():
        return ratings
    with told(ratings), locked(ratings, wait=True):
        if not download.exists():
            _download(source, download)
        if source.member and not ratings.exists():
            _unpack(download, source.member, ratings)
    return ratings


def _download(source: Source, target: Path) -> None:
    def write(file: BinaryIO) -> None:
        digest = hashlib.sha256()
        timeouts = (_CONNECT_SECONDS, _READ_SECONDS)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        try:
            with (
                requests.get(source.url, stream=True, timeout=timeouts) as response,
                Progress(*columns, console=Console(stderr=True)) as progress,
            ):
                response.raise_for_status()
                size = response.headers.get("Content-Length")
                task = progress.add_task(target.name, total=int(size) if size else None)
                for chunk in response.iter_content(1 << 20):
                    file.write(chunk)
                    digest.update(chunk)
                    progress.advance(task, len(chunk))
        except requests.RequestException as error:
            raise UserError(
                f"Downloading {source.url} failed ({_reason(error)}): download it by other means "
                f"and put it at {target.resolve()}."
            ) from error
        if digest.hexdigest() != source.sha256:
            raise UserError(
                f"{source.url} gave a file of SHA-256 {digest.hexdigest()} instead of "
                f"{source.sha256}: run again, or put the right file at {target.resolve()}."
            )

    write_whole(target, write)


def _unpack(archive: Path, member: str, target: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as files, files.open(member) as content:
            write_whole(target, lambda file: shutil.copyfileobj(content, file))
    except (zipfile.BadZipFile, KeyError, OSError, zlib.error) as error:
        raise UserError(
            f"{archive} cannot be unpacked to {target} ({_reason(error)}): delete it and run again."
        ) from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).strip("'.")
