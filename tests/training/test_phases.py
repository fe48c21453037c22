"""Each phase is judged by its own best weights, which the phases after it go on from."""

import pytest

from tests.training.test_resume import rows
from tfrs_timirec import Recommender
from tfrs_timirec.data.task import Task
from tfrs_timirec.evaluation.metrics import metric
from tfrs_timirec.evaluation.ranking import Ranker
from tfrs_timirec.training import checkpoint
from tfrs_timirec.training.run import Run


def test_the_row_of_an_earlier_phase_is_that_of_its_weights(systems):
    folder = systems["timirec"].run
    told = Recommender.load(folder).metrics["test"]["ComiRec (phase 1)"]["sampled"]["MRR"]
    model = Recommender.load(folder)
    phase, task = model.system.phases()[0], Task.of(model.sequences, model.settings, False)

    def reciprocal_rank() -> float:
        ranks = Ranker(phase).ranks(task.test, task.negatives)
        return float(metric("MRR", ranks).mean())

    assert reciprocal_rank() != pytest.approx(told, abs=1e-4), "the weights of the whole"
    checkpoint.load(Run(folder).best(1), phase.state)
    assert reciprocal_rank() == pytest.approx(told, abs=1e-9)


@pytest.mark.parametrize("protocol", ["sampled", "full"])
def test_an_epoch_is_judged_by_the_protocol_of_the_settings(protocol, log, tmp_path, eager):
    settings = {"embedding_size": 8, "initial_stddev": 0.1, "max_epochs": 1, "negatives": 20}
    settings |= {"protocol": protocol, "metric": "NDCG@10", "folder": str(tmp_path / "data")}
    model = Recommender("youtube_dnn", **settings)
    model.fit(str(log), run=tmp_path / "run", silent=True)
    task = Task.of(model.sequences, model.settings, False)
    ((targets, part),) = task.validations()
    ranks = {
        "sampled": Ranker(model.system).ranks(targets, part.negatives),
        "full": Ranker(model.system).ranks(targets, None),
    }
    found = {name: metric("NDCG@10", of).mean() for name, of in ranks.items()}
    (epoch,) = rows(tmp_path / "run")
    assert float(epoch["metric"]) == pytest.approx(found[protocol])
    assert found["sampled"] != pytest.approx(found["full"])
