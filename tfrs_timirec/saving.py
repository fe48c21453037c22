"""A trained recommender on disk: one folder that needs nothing else."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras

# Registers the layers, by which a tower can be read.
import tfrs_timirec.layers  # noqa: F401
from tfrs_timirec import __version__
from tfrs_timirec.config import Settings, settings_from
from tfrs_timirec.data.store import SequenceStore, file_digest
from tfrs_timirec.errors import UserError
from tfrs_timirec.files import restore, write_folder

# Raised when the folder's content changes in a way that older code cannot read.
FORMAT = 2
_ABOUT, _TOWER, _SEQUENCES = "recommender.json", "user_tower.keras", "sequences"


def sequences_in(folder: Path) -> Path:
    """Where a saved recommender has its users' sequences."""
    return folder / _SEQUENCES


def save(
    folder: Path,
    settings: Settings,
    tower: keras.Model,
    sequences: SequenceStore,
    about: dict[str, Any],
) -> None:
    """Writes a recommender; a killed write or a full disk leaves the one that was there.

    Args:
        folder: Where to.
        settings: What it was trained with.
        tower: The user tower.
        sequences: Users and items, with their counts.
        about: What else is known of it, of what JSON can hold.

    Raises:
        UserError: If the folder exists and is not a saved recommender.
    """
    restore(folder)
    if folder.exists() and not (folder / _ABOUT).exists():
        raise UserError(f"{folder} exists and is not a saved recommender: name another folder.")

    def write(written: Path) -> None:
        (written / _SEQUENCES).mkdir()
        sequences.write(written / _SEQUENCES, sequences.digest)
        tower.save(written / _TOWER)
        digests = {
            str(path.relative_to(written)): file_digest(path)
            for path in sorted(written.rglob("*"))
            if path.is_file()
        }
        told = {
            "format": FORMAT,
            "tfrs_timirec": __version__,
            "settings": asdict(settings),
            **about,
            "files": digests,
        }
        told["digest"] = _digest_of(told)
        (written / _ABOUT).write_text(json.dumps(told, indent=2) + "\n")

    write_folder(folder, write)


def load(folder: Path) -> tuple[Settings, keras.Model, dict[str, Any]]:
    """Reads what `save` wrote, but for the sequences.

    Args:
        folder: That was given to `save`.

    Returns:
        The settings, the user tower, and what else is known.

    Raises:
        UserError: If it is not a saved recommender, is of another version, or is damaged.
    """
    restore(folder)
    path = folder / _ABOUT
    try:
        about = json.loads(path.read_text())
        version, digests, digest = about["format"], dict(about["files"]), about.pop("digest")
    except (FileNotFoundError, NotADirectoryError):
        raise _absent(folder) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, error) from None
    if version != FORMAT:
        raise UserError(
            f"{folder} has the format {version}, and this version of tfrs_timirec reads {FORMAT}: "
            f"it was saved by version {about.get('tfrs_timirec')}; use that, or train it again."
        )
    if _digest_of(about) != digest:
        raise _damaged(path, "its content has changed")
    for name, expected in digests.items():
        try:
            intact = file_digest(folder / name) == expected
        except OSError as error:
            raise _damaged(folder / name, error) from None
        if not intact:
            raise _damaged(folder / name, "its content has changed")
    try:
        tower = keras.saving.load_model(folder / _TOWER, compile=False)
        settings = settings_from(about["settings"], str(path))
    except UserError:
        raise
    except Exception as error:  # Keras raises whatever it stumbles over.
        raise _damaged(folder / _TOWER, error) from None
    return settings, tower, about


def digest(folder: Path) -> str:
    """The SHA-256 of a saved recommender: another one has another.

    Raises:
        UserError: If it is not a saved recommender.
    """
    restore(folder)
    try:
        return file_digest(folder / _ABOUT)
    except (FileNotFoundError, NotADirectoryError):
        raise _absent(folder) from None


def _absent(folder: Path) -> UserError:
    return UserError(
        f"{folder} is not a saved recommender: it has no {_ABOUT}; name the folder of "
        "a finished run or of `save`."
    )


def _digest_of(about: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _damaged(path: Path, reason: object) -> UserError:
    told = " ".join(str(reason).split())
    return UserError(f"{path} is missing or damaged ({told}): restore it, or train it again.")
