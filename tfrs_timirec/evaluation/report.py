"""The evaluation of a trained run: its table, its metrics and its results by user."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from tfrs_timirec.config import EvaluationSettings
from tfrs_timirec.data.instances import evaluation_instances
from tfrs_timirec.data.store import SequenceStore
from tfrs_timirec.evaluation.metrics import metric, metric_names
from tfrs_timirec.evaluation.planted import planted_agreement
from tfrs_timirec.evaluation.ranking import Ranker
from tfrs_timirec.files import write_whole
from tfrs_timirec.models.base import SequentialRecommender
from tfrs_timirec.models.timirec import TiMiRec
from tfrs_timirec.training import checkpoint
from tfrs_timirec.training.run import Run
from tfrs_timirec.training.session import Session

PROTOCOLS = ("sampled", "full")


def test_ranks(
    model: SequentialRecommender,
    store: SequenceStore,
    negatives: np.ndarray,
    max_length: int,
) -> dict[str, np.ndarray]:
    """The rank of each user's test target, in both protocols.

    Args:
        model: The recommender.
        store: The users' sequences.
        negatives: int32 [users, n], the fixed negatives of the sampled protocol.
        max_length: L.

    Returns:
        int64 [users] for `sampled` and for `full` (the catalogue less the user's history).
    """
    instances = evaluation_instances(store, "test", max_length)
    ranker = Ranker(model)
    return {"sampled": ranker.ranks(instances, negatives), "full": ranker.ranks(instances, None)}


def summarise(
    ranks: dict[str, dict[str, np.ndarray]], settings: EvaluationSettings
) -> dict[str, dict[str, dict[str, float]]]:
    """The means of all metrics: system → protocol → metric → value."""
    return {
        system: {
            protocol: {
                name: float(metric(name, of_protocol[protocol]).mean())
                for name in metric_names(settings.cutoffs)
            }
            for protocol in PROTOCOLS
        }
        for system, of_protocol in ranks.items()
    }


def report(session: Session, run: Run) -> None:
    """Evaluates popularity and the best weights of each phase, and tells it in every form.

    A phase before the last one is named after the system that it trains, which is itself one.

    Writes `metrics.json` and `users.parquet` (each user's rank by system and protocol, for
    significance tests) and prints the tables.

    Args:
        session: The data and the model of the run, whose weights this sets.
        run: The run folder.

    Raises:
        UserError: If the run is not trained, or a checkpoint is damaged.
    """
    settings, model = session.settings, session.model
    length = settings.model.history_length
    popularity = session.popularity()
    ranks = {popularity.title: test_ranks(popularity, session.store, session.negatives, length)}
    for phase, system in enumerate(model.phases(), 1):
        checkpoint.load(run.best(phase), system.state)
        name = system.title if system is model else f"{system.title} (phase {phase})"
        ranks[name] = test_ranks(system, session.store, session.negatives, length)
    summary = summarise(ranks, settings.evaluation)
    metrics = {"users": session.store.num_users, "test": summary}
    agreement = None
    if isinstance(model, TiMiRec):
        agreement = planted_agreement(model, session.store, length)
    if agreement:
        metrics["planted interests"] = agreement
    _write_users(run, session.store, ranks)
    run.write_metrics(metrics)
    _print_tables(summary, settings.evaluation)
    if agreement:
        print(
            f"The predictor names the planted interest of {agreement['agreement']:.1%} of the "
            f"users; naming always the same one, {agreement['most frequent']:.1%}."
        )


def _print_tables(summary: dict, settings: EvaluationSettings) -> None:
    for protocol, title in (
        ("sampled", f"Test, target among {settings.negatives:,} negatives"),
        ("full", "Test, target among the whole catalogue"),
    ):
        table = Table(title=title)
        table.add_column("system")
        names = metric_names(settings.cutoffs)
        for name in names:
            table.add_column(name, justify="right")
        for system, of_protocol in summary.items():
            table.add_row(system, *(f"{of_protocol[protocol][name]:.4f}" for name in names))
        Console(width=120).print(table)


def _write_users(run: Run, store: SequenceStore, ranks: dict[str, dict[str, np.ndarray]]) -> None:
    columns = {"user_id": store.user_ids}
    for system, of_protocol in ranks.items():
        for protocol, values in of_protocol.items():
            columns[f"{system} {protocol} rank"] = pa.array(values)
    table = pa.table(columns)
    write_whole(run.folder / "users.parquet", lambda file: pq.write_table(table, file))
