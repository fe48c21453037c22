"""A recommender as one object: fitted, asked, explained, saved, updated and exported."""

import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from rich.console import Console

from tfrs_timirec import answers, data, saving
from tfrs_timirec.config import (
    DataSettings,
    Settings,
    checked,
    config_path,
    no_setting,
    read_settings,
    settings_named,
)
from tfrs_timirec.data.instances import Instances, evaluation_instances, whole_histories
from tfrs_timirec.data.metadata import read_categories
from tfrs_timirec.data.splits import split_of
from tfrs_timirec.data.store import SequenceStore
from tfrs_timirec.data.tables import ids_of, kind_of, table_of
from tfrs_timirec.data.task import Task
from tfrs_timirec.directions import directions
from tfrs_timirec.errors import UserError
from tfrs_timirec.evaluation.judging import judge
from tfrs_timirec.evaluation.lists import Attributes
from tfrs_timirec.evaluation.planted import planted_agreement
from tfrs_timirec.evaluation.report import Ranks
from tfrs_timirec.files import locked, scratch
from tfrs_timirec.memory import check_memory
from tfrs_timirec.models.base import SequentialRecommender
from tfrs_timirec.models.distillation import Distilled
from tfrs_timirec.models.popularity import Popularity, PopularitySettings
from tfrs_timirec.models.systems import SYSTEMS
from tfrs_timirec.models.teacher import Teacher
from tfrs_timirec.retrieval import Best, Retrieval
from tfrs_timirec.training import checkpoint
from tfrs_timirec.training.continuing import (
    epochs_of_update,
    new_and_as_many_old,
    take_over,
)
from tfrs_timirec.training.curve import write_curve
from tfrs_timirec.training.loop import Training
from tfrs_timirec.training.optimizers import numbers_a_row
from tfrs_timirec.training.progress import Progress
from tfrs_timirec.training.run import ELSEWHERE, Run, flat, model_in
from tfrs_timirec.training.workers import ALONE, Workers

Unknown = Literal["error", "popular", "skip"]
Epoch = Callable[[dict[str, Any]], object]
Id = str | int


@dataclass(frozen=True)
class Explanation:
    """Where recommendations come from; tables of the kind of the log.

    Args:
        recommendations: As `Recommender.recommend` gives them, with `interest` (from 0), which
            interest an item comes from, and `because`, the item of the history with the largest
            share in that interest; null where no item has a share, as with popularity.
        interests: The user, `interest` and `weight`; a user's weights add up to 1.
        history: The user, `position` (1 is the newest), the item, `interest` and `share`, how much
            the item contributes to the interest; a user's shares of an interest add up to 1;
            popularity's are 0.
    """

    recommendations: Any
    interests: Any
    history: Any


class Recommender:
    """Learns from a log of who interacted with what and when, and recommends what comes next.

    Example:

        model = Recommender(system="timirec", num_interests=4)
        model.fit(log, user="customer", item="sku", time="bought_at")
        model.recommend(users=["c-17", "c-99"], k=10)

    Args:
        system: `timirec`, or another name of `tfrs_timirec.models.systems.SYSTEMS`.
        settings: Any setting by its name, such as `num_interests=4`, `learning_rate=0.003`,
            `core=1`, `split="temporal"` or `seed=1`; `python -m tfrs_timirec.train --help` lists
            them.

    Attributes:
        settings: All settings.
        metrics: What the last evaluation found; empty before `fit`.
        epochs: How many epochs each phase had run at its best.

    Raises:
        UserError: If there is no such system or setting, or a value is out of range.
    """

    def __init__(self, system: str = "timirec", **settings):
        self.__dict__ = Recommender._of(settings_named(system, settings)).__dict__

    @classmethod
    def from_config(cls, path: str | Path) -> "Recommender":
        """An untrained recommender with the settings of a YAML file.

        Args:
            path: Path of the file, or the name of a configuration that comes with the package.

        Raises:
            UserError: If the file is missing or damaged, or a setting is wrong.
        """
        return cls._of(read_settings(config_path(path)))

    @classmethod
    def from_settings(cls, settings: Settings) -> "Recommender":
        """An untrained recommender with these settings.

        Args:
            settings: Settings of the data, the system, the training and the evaluation.

        Raises:
            UserError: If a value has the wrong type or is out of range.
        """
        return cls._of(checked(settings))

    @classmethod
    def _of(cls, settings: Settings) -> "Recommender":
        """An untrained recommender with settings that are checked."""
        recommender = cls.__new__(cls)
        recommender.settings = settings
        recommender.metrics = {}
        recommender.epochs = []
        recommender._epochs_run = []
        recommender._kind = "pandas"
        recommender._refitted = False
        recommender._system = recommender._sequences = recommender._retrieval = None
        return recommender

    @property
    def trained_with(self) -> Settings:
        """`settings`, but after `refit` with `split` none, by which nothing was held out."""
        return _of_everything(self.settings) if self._refitted else self.settings

    @property
    def system(self) -> SequentialRecommender:
        """The trained system; raises UserError before `fit`."""
        if self._system is None:
            raise UserError("The recommender is not trained yet: call fit first.")
        return self._system

    @property
    def sequences(self) -> SequenceStore:
        """The users, items and interactions that it knows; raises UserError before `fit`."""
        if self._sequences is None:
            raise UserError("The recommender is not trained yet: call fit first.")
        return self._sequences

    @property
    def tested(self) -> Instances:
        """The targets that training held out for the test: none after `refit`."""
        split = split_of(self.sequences, self.trained_with.data)
        length = self.settings.model.history_length
        return evaluation_instances(self.sequences, split, "test", length)

    @property
    def counts(self) -> np.ndarray:
        """int64 [items], the interactions of each item in training."""
        return self.sequences.counts

    def item_vectors(self) -> np.ndarray:
        """float32 [items, D], in the order of `sequences.item_ids`."""
        return self.system.item_vectors().numpy()

    def fit(
        self,
        log: Any = None,
        *,
        user: str | None = None,
        item: str | None = None,
        time: str | None = None,
        rating: str | None = None,
        run: str | Path | None = None,
        resume: bool = True,
        callback: Epoch | None = None,
        silent: bool = False,
        workers: Workers = ALONE,
        pretrained: str | Path | None = None,
    ) -> "Recommender":
        """Trains on a log and evaluates.

        Everything random depends on the seed: Keras' generators are set to it, and TensorFlow to
        deterministic operations unless `deterministic=False`.

        Args:
            log: A pandas, Polars, Arrow, DuckDB or Ibis table, the path or glob of files, or
                `synthetic`; None uses the setting `source`.
            user: Its column of users; None uses the setting `user_column`, as for the others.
            item: Its column of items.
            time: Its column of times.
            rating: Its column of ratings, needed with the setting `min_rating`.
            run: A folder for checkpoints, logs, curves and results. An interrupted run in
                it is continued, and ends with the same weights.
            resume: False refuses a folder that holds a run.
            callback: Called after each epoch with its row of the log: `phase`, `epoch`, `loss`,
                `metric` and how long it took.
            silent: Whether to show no progress.
            workers: Who train together, from `tfrs_timirec.training.workers.join()`; each calls
                `fit` with the same arguments. The chief alone writes `run` and evaluates.
            pretrained: The folder of a finished run of the first phase's system, as ComiRec is
                TiMiRec's, on the same log and by the same metric; its weights take the place of
                the first phase, whatever its objective and dropout were. None trains all phases.

        Returns:
            Itself.

        Raises:
            UserError: If the log, a setting or the run folder cannot be used. The recommender is
                as it was before.
            Stopped: After Ctrl-C or SIGTERM in the training, with a checkpoint in `run`.
        """
        settings, table = self._source(log, user=user, item=item, time=time, rating=rating)
        if not workers.is_chief:
            run, pretrained, silent = None, None, True
        with _folder_of(run) as folder:
            if run:
                folder.check(settings, resume)
            first = pretrained and Run(Path(pretrained))
            if first:
                kind = SYSTEMS[settings.model.system]
                first.check_pretrained(settings, kind.first_phase(settings.model))
            store = data.load(settings.data, settings.seed, table)
            of_all = {"log": store.digest, **flat(asdict(settings))}
            workers.check_same(
                {k: of_all[k] for k in of_all.keys() - ELSEWHERE - {"evaluation.titles"}}
            )
            console = Console(quiet=silent)
            validated = settings.data.split != "none"
            told = [data.summary(store, settings.data), *[f"Run folder: {run}"] * bool(run)]
            console.print(*told, sep="\n", markup=False, highlight=False, soft_wrap=True)
            # What is wrong with them is told before the training.
            attributes = _attributes(settings, store.item_ids) if workers.is_chief else None
            teachers = _teachers(settings, store)
            _fix_chance(settings)
            task, system = _untrained(store, settings)
            if first:
                first.check_data(task.store.digest)
            if validated:
                task.check_tested()
                if shortage := task.shortage:
                    console.print(shortage, highlight=False, soft_wrap=True)
            phases = system.phases()
            epochs = [settings.training.max_epochs] * len(phases)
            progress = _train(
                phases,
                task,
                settings,
                folder,
                epochs,
                callback,
                console,
                resume,
                validated,
                workers,
                first,
                teachers,
            )
            metrics = {}
            if validated and workers.is_chief:
                best = _best_of_phases(system, folder)
                metrics, ranks = _judge(best, task.counts, task, settings, attributes)
                if task.store.interests is not None and isinstance(system, Distilled):
                    metrics["planted interests"] = planted_agreement(system, task)
            trained = self._trained(settings, system, store, task, metrics)
            trained.epochs, trained._epochs_run = progress.epochs, progress.epochs_run
            trained._kind = kind_of(log) or "pandas"
            trained._refitted = False
            if run:
                trained.save(folder.model)
                if progress.log:
                    write_curve(folder, progress.log, settings.evaluation.metric)
                if metrics:
                    folder.write_results(metrics, _table_of_ranks(task, ranks))
        self.__dict__ = trained.__dict__
        return self

    def _source(self, log: Any, **columns: str | None) -> tuple[Settings, Any]:
        """The settings with a log's columns and path, and the log if it is a table."""
        named = {f"{role}_column": name for role, name in columns.items() if name is not None}
        if log is None:
            table = None
        elif kind_of(log):
            table = log
            named["source"] = "a table"
        elif isinstance(log, str | Path):
            table = None
            named["source"] = str(log)
        else:
            raise UserError(
                f"The log is a {type(log).__name__}: give a pandas, Polars, Arrow, DuckDB or Ibis "
                "table, or the path or glob of files."
            )
        settings = replace(self.settings, data=replace(self.settings.data, **named))
        user_column, item_column = settings.data.user_column, settings.data.item_column
        if user_column == item_column:
            raise UserError(
                f"The column {item_column} is named for both users and items: name two columns."
            )
        for name in (user_column, item_column):
            if name in answers.COLUMNS:
                raise UserError(
                    f"The log's column {name} has the name of a column of the answers: rename it "
                    f"to anything but {', '.join(answers.COLUMNS)}."
                )
        return settings, table

    def _trained(
        self,
        settings: Settings,
        system: SequentialRecommender,
        store: SequenceStore,
        task: Task,
        metrics: dict[str, Any],
    ) -> "Recommender":
        """A trained recommender; what it is silent about is as it is in this one."""
        trained = Recommender._of(settings)
        trained.__dict__ |= self.__dict__ | {
            "settings": settings,
            "metrics": metrics,
            "_system": system,
            "_sequences": replace(store, counts=task.counts),
            "_retrieval": None,
        }
        return trained

    def refit(self, *, callback: Epoch | None = None, silent: bool = False) -> "Recommender":
        """Trains again on everything, including what was held out for validation and test.

        Each phase runs for as many epochs as the validated training had at its best. `metrics`
        remain those of the validated training.

        Args:
            callback: As in `fit`.
            silent: As in `fit`.

        Returns:
            Itself.

        Raises:
            UserError: Before `fit`, if the users were left out by `load`, or if a teacher cannot
                be used any more.
        """
        self._check_users()
        store, learning = self.sequences, _of_everything(self.settings)
        teachers = _teachers(learning, store)
        _fix_chance(learning)
        task, system = _untrained(store, learning)
        phases, epochs = system.phases(), self.epochs
        with _folder_of(None) as run:
            console = Console(quiet=silent)
            _train(phases, task, learning, run, epochs, callback, console, teachers=teachers)
        trained = self._trained(self.settings, system, store, task, self.metrics)
        trained._refitted = True
        self.__dict__ = trained.__dict__
        return self

    def update(
        self, log: Any, *, callback: Epoch | None = None, silent: bool = False
    ) -> "Recommender":
        """Continues from the weights with a log that has grown.

        New users and items get a place; all others keep theirs. Each phase learns from the new
        interactions and as many old ones, without validation, and sees about a thirteenth of what
        the training saw. What the log's split holds out is not learned from, except after `refit`,
        when nothing is held out. A file of titles that has gone is done without, with a warning.
        Teachers, who do not know the new items, are dropped from `settings`, and label smoothing,
        which was their share, with them.

        Args:
            log: All interactions, old and new, as for `fit`, with the same columns.
            callback: As in `fit`.
            silent: As in `fit`.

        Returns:
            Itself.

        Raises:
            UserError: If the log lacks what was there, or cannot be used, or if the users were left
                out by `load`. The recommender is as it was before.
        """
        self._check_users()
        before = self.sequences
        settings, table = self._source(log)
        settings = _without_teachers(settings)
        grown = data.load(settings.data, settings.seed, table).after(before)
        learning = _of_everything(settings) if self._refitted else settings
        attributes = _attributes(_without_lost_titles(learning), grown.item_ids)
        _fix_chance(learning)
        task, system = _untrained(grown, learning)
        take_over(system, self.system, task)
        system.learn_counts(task.counts)
        known = split_of(before, learning.data).training_end - before.offsets[:-1]
        chosen = new_and_as_many_old(task, known, settings.seed)
        epochs = epochs_of_update(self._epochs_run, task.num_training, len(chosen))
        if len(chosen):
            part = replace(task, chosen=chosen)
            with _folder_of(None) as run:
                console = Console(quiet=silent)
                _train(system.phases(), part, learning, run, epochs, callback, console)
        metrics = self.metrics
        if learning.data.split != "none":
            judged = [(system.title, system)]
            metrics, _ = _judge(judged, task.counts, task, settings, attributes)
        trained = self._trained(settings, system, grown, task, metrics)
        trained._kind = kind_of(log) or self._kind
        self.__dict__ = trained.__dict__
        return self

    def evaluate(
        self,
        log: Any = None,
        *,
        titles: str | None = None,
        titles_id_column: str | None = None,
        categories_column: str | None = None,
    ) -> dict[str, Any]:
        """How good the recommendations are, and what the interests are worth.

        Args:
            log: A newer log, as for `fit`, with the same columns: its own split says what is
                tested, which after `refit` or `update` may have been learned from, unless all of it
                is newer. Items that the recommender does not know count as missed targets, and are
                skipped in histories. None evaluates on what was held out in training.
            titles: A CSV, TSV, Parquet, typed-header or MovieLens `.dat` file with the categories
                of the items, from which the diversity of lists and their calibration follow; None
                uses the setting of that name, as for the others, and does without if that file
                has gone, with a warning.
            titles_id_column: Its column of the item's id.
            categories_column: Its column of the categories.

        Returns:
            `users`, how many were tested, and `test`, system → protocol (`sampled`, `full`) →
            metric → mean, beside those of popularity; with users that are new after the training
            part also `new users` and `test, new users`. `groups`: `short histories`, `long
            histories`, `rare targets` and `popular targets` → `from`, `to`, `targets` and `test`.
            `lists`: system → metric → value, of the first N of the whole catalogue, less what the
            user had. `interests`: system → figure → value, of systems with several.

        Raises:
            UserError: If nothing was held out, or the log or the file cannot be used.
        """
        settings, store = self.settings, self.sequences
        if settings.data.split == "none":
            raise UserError("Nothing is held out where data.split is none: fit with another split.")
        if log is not None:
            settings, table = self._source(log)
            store = data.load(settings.data, settings.seed, table).in_the_catalogue_of(store)
        elif self._refitted:
            raise UserError(
                "Nothing is held out after refit: evaluate before it, or give a newer log."
            )
        elif not store.num_users:
            raise UserError("The users were left out by load: load them, or give a newer log.")
        named = {
            "titles": titles,
            "titles_id_column": titles_id_column,
            "categories_column": categories_column,
        }
        given = {name: value for name, value in named.items() if value is not None}
        if titles is None:
            settings = _without_lost_titles(settings)
        settings = checked(replace(settings, evaluation=replace(settings.evaluation, **given)))
        attributes = _attributes(settings, self.sequences.item_ids)
        task = Task.of(store, settings, "times" in self.system.tower_inputs)
        task = task.for_catalogue(self.system.num_items)
        task.check_tested()
        systems = [(self.system.title, self.system)]
        metrics, _ = _judge(systems, self.counts, task, settings, attributes)
        return metrics

    def recommend(
        self,
        users: Any = None,
        histories: Sequence[Sequence[Id]] | None = None,
        *,
        times: Sequence[Sequence[int]] | None = None,
        k: int = 10,
        among: Any = None,
        exclude: Any = None,
        interest: bool = False,
        unknown: Unknown = "error",
    ) -> Any:
        """The best items for users of the log, or for anybody with a history.

        Items that a user has already had are left out.

        Args:
            users: Ids of users in the log: a list, an array or a series.
            histories: Instead of users, the items of each person, oldest first.
            times: When the items were interacted with, for a system that reads times.
            k: Items per user.
            among: Items to choose from; None chooses from all. Unknown ones are ignored.
            exclude: Items not to recommend. Unknown ones are ignored.
            interest: Whether to add the column `interest`: which one, from 0, an item comes from.
            unknown: What to do with unknown users and items: `error` raises; `popular` ignores
                unknown items, and recommends the most popular ones to users of whom nothing is
                known; `skip` ignores unknown items, and leaves such users out.

        Returns:
            A table of the kind of the log (pandas for one from files), one row per recommendation,
            fewer than k where no more items are left: the user's column named as in the log, or
            `history`, the number from 0 of the history; the item's column; `rank` from 1; `score`.

        Raises:
            UserError: Before `fit`, for an unknown id, an empty list, a k out of range, an `among`
                in which nothing is known, times beside users, or users who were left out by `load`.
        """
        question = self._question(users, histories, times, unknown)
        best = self._answered(question, k, among, exclude, interest)
        return self._native(answers.recommendations(question, best), users)

    def explain(
        self,
        users: Any = None,
        histories: Sequence[Sequence[Id]] | None = None,
        *,
        times: Sequence[Sequence[int]] | None = None,
        k: int = 10,
        among: Any = None,
        exclude: Any = None,
        unknown: Unknown = "error",
    ) -> Explanation:
        """Recommendations, the interest that each comes from, and where that interest comes from.

        Args:
            users: As in `recommend`, like all other arguments.
            histories: As in `recommend`.
            times: As in `recommend`.
            k: As in `recommend`.
            among: As in `recommend`.
            exclude: As in `recommend`.
            unknown: As in `recommend`.

        Raises:
            UserError: As `recommend`.
        """
        question = self._question(users, histories, times, unknown)
        best = self._answered(question, k, among, exclude, True)
        tables = (
            answers.recommendations(question, best, because=True),
            answers.interests(question, best),
            answers.shares(question, best),
        )
        return Explanation(*(self._native(table, users) for table in tables))

    def similar_items(self, items: Any, k: int = 10) -> Any:
        """The items whose vectors point most nearly in the same direction.

        Args:
            items: Ids of items.
            k: Similar items per item.

        Returns:
            A table of the kind of the log: the item's column, `similar`, `rank` from 1 and
            `score`, the cosine.

        Raises:
            UserError: Before `fit`, for an unknown id, an empty list, a k out of range, or a log
                of a single item.
        """
        ids = self._ids(items, "items")
        places = self._known_items(ids)
        if (places < 0).any():
            raise UserError(f"There is no item {_first(ids, places < 0)} in the log: leave it out.")
        if self.sequences.num_items == 1:
            raise UserError("The log has a single item: there is none that it could be similar to.")
        self._check_k(k, self.sequences.num_items - 1)
        vectors = directions(self.item_vectors())
        scores = vectors[places] @ vectors.T
        scores[np.arange(len(places)), places] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        column = self.settings.data.item_column
        table = pa.table(
            {
                column: ids.take(pa.array(np.repeat(np.arange(len(ids)), k))),
                "similar": self.sequences.item_ids.take(pa.array(best.ravel())),
                "rank": np.tile(np.arange(1, k + 1), len(ids)),
                "score": np.take_along_axis(scores, best, axis=1).ravel(),
            }
        )
        return self._native(table, items)

    def best(
        self, histories: Instances, k: int, allowed: np.ndarray | None = None, explain: bool = False
    ):
        """The best items of histories, as indices; what `recommend` makes a table of.

        Args:
            histories: Those of `tfrs_timirec.data.instances.whole_histories`.
            k: Items per user.
            allowed: bool [items]; None allows all.
            explain: Whether to say where they come from.

        Yields:
            `tfrs_timirec.retrieval.Best`, block by block.

        Raises:
            UserError: Before `fit`, or for a k out of range.
        """
        self.check_k(k)
        if self._retrieval is None:
            self._retrieval = Retrieval(self.system, self.counts)
        if allowed is None:
            allowed = np.ones(self.system.num_items, bool)
        return self._retrieval.best(histories, k, allowed, explain)

    def check_k(self, k: int) -> None:
        """Checks a number of items to recommend; raises UserError if it is out of range."""
        self._check_k(k, self.system.num_items)

    def _check_users(self) -> None:
        if not self.sequences.num_users:
            raise UserError("The users were left out by load: load them, too.")

    def save(self, folder: str | Path) -> None:
        """Writes everything that `load` needs into a folder: no log and no run is needed then.

        Args:
            folder: Where to; an existing saved recommender is replaced once the new one is
                complete.

        Raises:
            UserError: Before `fit`, if the users were left out by `load`, or if the folder exists
                and is not a saved recommender.
        """
        self._check_users()
        about = {
            "metrics": self.metrics,
            "epochs": self.epochs,
            "epochs_run": self._epochs_run,
            "refitted": self._refitted,
        }
        saving.save(Path(folder), self.settings, self.system.user_tower, self.sequences, about)

    @classmethod
    def load(cls, folder: str | Path, with_users: bool = True) -> "Recommender":
        """Reads what `save` wrote.

        Args:
            folder: The folder, or that of a finished run.
            with_users: False leaves out the users and their interactions, which may not fit into
                memory; then only histories can be asked for, and it can be evaluated on a newer
                log, but not be saved, updated or refitted.

        Raises:
            UserError: If it is not a saved recommender, is damaged, or is of another version.
        """
        folder = model_in(Path(folder))
        settings, tower, about = saving.load(folder)
        recommender = cls._of(settings)
        recommender._system = SYSTEMS[settings.model.system](tower, settings.model)
        recommender._sequences = SequenceStore.load(saving.sequences_in(folder), with_users)
        recommender.metrics = about["metrics"]
        recommender.epochs = about["epochs"]
        recommender._epochs_run = about["epochs_run"]
        # Those that were saved before it was noted say so by their split.
        recommender._refitted = about.get("refitted", False)
        return recommender

    def export(self, folder: str | Path, **settings) -> list[Path]:
        """Writes SavedModels that answer over TF-Serving, as the next version of each.

        Args:
            folder: The folder of the models.
            settings: Those of `tfrs_timirec.export.settings.ExportSettings`, such as `k=20`.

        Returns:
            The folders of the new versions.

        Raises:
            UserError: Before `fit`, or if a setting does not fit.
        """
        from tfrs_timirec.export.publish import publish
        from tfrs_timirec.export.settings import ExportSettings

        self.system  # noqa: B018 - before any work
        names = [field.name for field in fields(ExportSettings)]
        for name in settings:
            if name not in names:
                raise no_setting(name, names)
        versions, _ = publish(self, Path(folder), ExportSettings(**settings))
        return versions

    def _question(self, users, histories, times, unknown: Unknown) -> answers.Question:
        """Who is asked for, in terms of indices."""
        if unknown not in ("error", "popular", "skip"):
            raise UserError(f"unknown is {unknown!r}: give 'error', 'popular' or 'skip'.")
        if (users is None) == (histories is None):
            raise UserError("Give either users or histories.")
        if users is not None:
            if times is not None:
                raise UserError("The times are those of histories: leave them out beside users.")
            return self._question_of_users(users, unknown)
        return self._question_of_histories(histories, times, unknown)

    def _question_of_users(self, users, unknown: Unknown) -> answers.Question:
        self._check_users()
        ids = self._ids(users, "users")
        places = _places(ids, self.sequences.user_ids, "users")
        if unknown == "error" and (places < 0).any():
            raise UserError(
                f"There is no user {_first(ids, places < 0)} in the log: leave it out, or give "
                "unknown='popular' or unknown='skip'."
            )
        if unknown == "skip":
            ids, places = ids.filter(pa.array(places >= 0)), places[places >= 0]
        known = whole_histories(self.sequences, places, self.settings.model.history_length)
        none = np.zeros_like(places)
        known = replace(
            known,
            begin=np.where(places < 0, none, known.begin),
            end=np.where(places < 0, none, known.end),
            part_end=np.where(places < 0, none, known.part_end),
        )
        return self._asked(known, self.settings.data.user_column, ids)

    def _question_of_histories(self, histories, times, unknown: Unknown) -> answers.Question:
        reads_times = "times" in self.system.tower_inputs
        histories = [_listed(of_one, "histories") for of_one in _listed(histories, "histories")]
        if not histories:
            raise UserError("histories is empty: give the items of one person or more.")
        if reads_times and times is None:
            raise UserError(
                f"The system {self.settings.model.system} reads times: give the time of each item "
                "in times."
            )
        lengths = np.array([len(history) for history in histories])
        if times is not None:
            times = [_listed(of_one, "times") for of_one in _listed(times, "times")]
            if [len(of_one) for of_one in times] != lengths.tolist():
                raise UserError("times and histories differ in length: give each item its time.")
        flat = [item for history in histories for item in history]
        places = np.zeros(0, np.int64)
        if flat:
            ids = self._ids(flat, "histories")
            places = self._known_items(ids)
            if unknown == "error" and (places < 0).any():
                raise UserError(
                    f"There is no item {_first(ids, places < 0)} in the log: leave it out, or give "
                    "unknown='popular' or unknown='skip'."
                )
        whose = np.repeat(np.arange(len(lengths)), lengths)[places >= 0]
        lengths = np.bincount(whose, minlength=len(lengths))
        if unknown == "error" and not lengths.all():
            raise UserError(
                f"History {int(lengths.argmin())} is empty: leave it out, or give "
                "unknown='popular' or unknown='skip'."
            )
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        when = None
        if reads_times:
            flat_times = np.array([time for of_one in times for time in of_one])
            if flat and flat_times.dtype.kind not in "iu":
                raise UserError(
                    "times are not all whole numbers: give seconds, or the log's own unit."
                )
            when = flat_times.astype(np.int64)[places >= 0]
        store = replace(
            self.sequences,
            offsets=offsets,
            items=(places[places >= 0] + 1).astype(np.int32),
            times=when,
        )
        asked = np.flatnonzero(lengths) if unknown == "skip" else np.arange(len(lengths))
        known = whole_histories(store, asked, self.settings.model.history_length)
        return self._asked(known, "history", pa.array(asked))

    def _asked(self, histories: Instances, name: str, ids: pa.Array) -> answers.Question:
        item_column, item_ids = self.settings.data.item_column, self.sequences.item_ids
        return answers.Question(histories, name, ids, item_column, item_ids)

    def _ids(self, values: Any, name: str) -> pa.Array:
        ids = ids_of(values)
        if not len(ids):
            raise UserError(f"{name} is empty: give one id or more.")
        return ids

    def _known_items(self, ids: pa.Array) -> np.ndarray:
        return _places(ids, self.sequences.item_ids, "items")

    def _check_k(self, k: int, most: int) -> None:
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= most:
            raise UserError(f"k is {k}: give a whole number from 1 to {most}.")

    def _allowed(self, among: Any, exclude: Any) -> np.ndarray:
        """bool [items], what may be recommended."""
        allowed = np.ones(self.system.num_items, bool)
        if among is not None:
            places = self._known_items(self._ids(among, "among"))
            if (places < 0).all():
                raise UserError("Nothing in among is an item of the log: check its ids.")
            allowed[:] = False
            allowed[places[places >= 0]] = True
        if exclude is not None and len(ids := ids_of(exclude)):
            places = self._known_items(ids)
            allowed[places[places >= 0]] = False
        return allowed

    def _answered(
        self, question: answers.Question, k: int, among: Any, exclude: Any, explain: bool
    ) -> Best:
        allowed = self._allowed(among, exclude)
        if not len(question.histories):
            raise UserError("Nobody who was asked for is known: give unknown='popular'.")
        blocks = self.best(question.histories, k, allowed, explain)
        return answers.in_order(blocks, self.settings.model.history_length)

    def _native(self, table: pa.Table, asked_with: Any) -> Any:
        """The table as the kind of table that the question or else the log came in."""
        return table_of(kind_of(asked_with) or self._kind, table)


def _places(ids: pa.Array, known: pa.Array, name: str) -> np.ndarray:
    """int64 [n]: where each id is among those that are known, −1 if it is not."""
    if ids.type != known.type:
        what = "integers" if pa.types.is_integer(known.type) else "strings"
        raise UserError(f"The ids of {name} are {what} in the log: give {what}.")
    return pc.index_in(ids, known).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def _listed(values: Any, name: str) -> list:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise UserError(
            f"{name} has {values!r} where a list belongs: give a list for each person, the oldest "
            "first."
        )
    return list(values)


def _first(ids: pa.Array, chosen: np.ndarray) -> str:
    """The first few of the chosen ids, for an error."""
    shown = [repr(id_) for id_ in ids.filter(pa.array(chosen)).slice(0, 3).to_pylist()]
    return ", ".join(shown) + ", …" * bool(chosen.sum() > 3)


def _table_of_ranks(task: Task, ranks: Ranks) -> pa.Table:
    """One row per test target: the user, whether they are new, and ranks by system and protocol."""
    columns = {
        f"{system} {protocol} rank": pa.array(values)
        for system, of_protocol in ranks.items()
        for protocol, values in of_protocol.items()
    }
    users = task.test.users
    ids = task.store.user_ids.take(pa.array(users))
    return pa.table({"user_id": ids, "is_new": task.is_new[users], **columns})


def _fix_chance(settings: Settings) -> None:
    # One compilation for each width of a batch is meant; TensorFlow warns of them.
    tf.get_logger().setLevel("ERROR")
    keras.utils.set_random_seed(settings.seed)
    if settings.training.deterministic:
        tf.config.experimental.enable_op_determinism()


@contextmanager
def _folder_of(run: str | Path | None) -> Iterator[Run]:
    """The folder of a run, for this process alone; one for the time of the training without."""
    if not run:
        with scratch(Path(tempfile.gettempdir()), "tfrs_timirec") as folder:
            yield Run(folder)
    else:
        with locked(Path(run)):
            yield Run(Path(run))


def _of_everything(settings: Settings) -> Settings:
    """The settings of a training for which nothing is held out."""
    return replace(settings, data=replace(settings.data, split="none"))


def _untrained(store: SequenceStore, settings: Settings) -> tuple[Task, SequentialRecommender]:
    """What is learned from, and who will learn it.

    Raises:
        UserError: If memory cannot hold the items' vectors with what the optimiser keeps of them.
    """
    kind, training = SYSTEMS[settings.model.system], settings.training
    numbers = numbers_a_row(training.optimizer, settings.model.embedding_size)
    check_memory(
        4 * kind.item_tables * (store.num_items + 1) * numbers,
        f"Training on a catalogue of {store.num_items:,} items by {training.optimizer}",
        "model.embedding_size",
    )
    system = kind.create(store.num_items, settings.model, training.initial_stddev, settings.seed)
    task = Task.of(store, settings, "times" in system.tower_inputs)
    system.learn_counts(task.counts)
    return task, system


def _train(
    phases: Sequence[SequentialRecommender],
    task: Task,
    settings: Settings,
    run: Run,
    epochs: Sequence[int],
    callback: Epoch | None,
    console: Console,
    resume: bool = False,
    validated: bool = False,
    workers: Workers = ALONE,
    pretrained: Run | None = None,
    teachers: Mapping[str, SequentialRecommender] | None = None,
) -> Progress:
    """Trains the phases; popularity has none."""
    digests = [task.store.digest, *(teachers or ())]
    if not phases:
        run.start(settings, digests)
        return Progress()
    training = Training(
        phases, task, settings, run, console, callback, epochs, validated, workers, pretrained
    )
    # Not before it is known that there is something to train on.
    run.start(settings, digests)
    if teachers:
        for phase in phases:
            phase.teacher = Teacher(list(teachers.values()))
    progress = training.train(resume)
    for phase in phases:
        phase.teacher = None
    return progress


def _teachers(settings: Settings, store: SequenceStore) -> dict[str, SequentialRecommender]:
    """The systems that the settings name to learn from, by the digest of each on disk.

    Raises:
        UserError: If one of them is missing, learned from another log or from what is held out
            here, or cannot read the histories.
    """
    length, systems = settings.model.history_length, {}
    for path in settings.training.teachers:
        try:
            model = Recommender.load(path)
            digest = saving.digest(model_in(Path(path)))
        except UserError as error:
            raise UserError(f"The teacher {path} cannot be used: {error}") from None
        same_items = model.sequences.item_ids.equals(store.item_ids)
        if not same_items or model.sequences.digest != store.digest:
            raise UserError(
                f"The teacher {path} was trained on another log, or on this one with other "
                "settings of data: name one that was trained on the same."
            )
        ours, theirs = settings.data, model.trained_with.data
        if ours.split != "none" and _held_out(ours) != _held_out(theirs):
            raise UserError(
                f"The teacher {path} may have learned from what is held out here, for its "
                "data.split is another: name one that was trained with the same split."
            )
        if not model.system.phases():
            raise UserError(
                f"The teacher {path} is {model.system.title}, whose scores are no probabilities: "
                "name one that was trained."
            )
        if (others := model.settings.model.history_length) < length:
            raise UserError(
                f"The teacher {path} reads {others} items of a history, and model.history_length "
                f"is {length}: give {others} or less, or name another teacher."
            )
        if "times" in model.system.tower_inputs:
            raise UserError(f"The teacher {path} reads times: name one of another system.")
        systems[digest] = model.system
    return systems


def _held_out(named: DataSettings) -> tuple:
    """What says which interactions are held out."""
    ends = (named.validation_from, named.test_from)
    return (named.split, *(ends if named.split == "temporal" else ()))


def _without_teachers(settings: Settings) -> Settings:
    """The settings of a training that learns from targets alone, if they name teachers."""
    if not settings.training.teachers:
        return settings
    return replace(
        settings,
        model=replace(settings.model, label_smoothing=0.0),
        training=replace(settings.training, teachers=[]),
    )


def _popularity(counts: np.ndarray) -> Popularity:
    popularity = Popularity.create(len(counts), PopularitySettings(), 0.0, 0)
    popularity.learn_counts(counts)
    return popularity


def _judge(
    systems: Iterable[tuple[str, SequentialRecommender]],
    counts: np.ndarray,
    task: Task,
    settings: Settings,
    attributes: Attributes | None,
) -> tuple[dict[str, Any], Ranks]:
    """The metrics of systems and of popularity, and the ranks of the test targets."""
    cutoffs = settings.evaluation.cutoffs
    return judge(systems, _popularity(counts), counts, task, cutoffs, attributes)


def _without_lost_titles(settings: Settings) -> Settings:
    """The settings without a file of titles that has gone since: a model must not need it."""
    titles = settings.evaluation.titles
    if titles is None or settings.data.split == "none" or Path(titles).exists():
        return settings
    warnings.warn(
        f"The training's file of titles, {titles}, is gone, so diversity and miscalibration are "
        "left out; an evaluation takes its new path as titles.",
        stacklevel=3,
    )
    without = replace(settings.evaluation, titles=None, categories_column=None)
    return replace(settings, evaluation=without)


def _attributes(settings: Settings, item_ids: pa.Array) -> Attributes | None:
    """Those that the evaluation's settings name a file of; None if it needs none."""
    named, nothing_held_out = settings.evaluation, settings.data.split == "none"
    categories = None if nothing_held_out else read_categories(named, item_ids)
    if categories is None:
        return None
    if not any(categories):
        raise UserError(
            f"The column {named.categories_column} of {named.titles} says nothing of any item of "
            f"the log: is {named.titles_id_column} the column of the ids that are in the log?"
        )
    return Attributes.of(categories)


def _best_of_phases(
    system: SequentialRecommender, run: Run
) -> Iterator[tuple[str, SequentialRecommender]]:
    """Each phase with its best weights, which it shares with the others; the last is the whole.

    An earlier one is named after the system that it trains, which is itself one.
    """
    for number, phase in enumerate(system.phases(), 1):
        checkpoint.load(run.best(number), phase.state)
        yield phase.title if phase is system else f"{phase.title} (phase {number})", phase
