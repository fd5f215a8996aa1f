"""The charts of a study's report and zip."""

from app.export.charts import CHARTS, places
from data.database.database import Database
from data.queries import studies
from engine.study.spec import Study
from tests.app.made_study import record

ID = "made-study-0001"


def test_every_chart_has_numbers_and_a_name_of_its_own(database: Database, study: Study) -> None:
    record(database, study.model_copy(update={"pruners": ("iterative", "admm"), "networks": ("lenet300", "vgg11")}))
    placed = places(database, studies.study(database, ID))
    assert all(set(place.charts) == set(CHARTS) for place in placed)
    assert {name for place in placed for name, charts in place.charts.items() if charts} == set(CHARTS)
    charts = [chart for place in placed for group in place.charts.values() for chart in group]
    names = [chart.name for chart in charts]
    assert len(set(names)) == len(names)
    assert all(name.startswith(ID) for name in names)
    for chart in charts:
        frame = chart.numbers()
        assert len(frame)
        assert {"dataset", "network"} <= set(frame.columns)
