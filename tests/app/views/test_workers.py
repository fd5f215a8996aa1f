"""The Workers page, with heartbeats in a real Redis."""

from datetime import UTC, datetime, timedelta

from redis import Redis

from data.database.database import Database
from data.settings import settings
from engine.study.spec import Study
from tasks.broker.server import serving
from tasks.queue import leases, telemetry
from tasks.queue.telemetry import Memory, Slow
from tests.app.dashboard import open_page, rerun, texts
from tests.app.made_study import record
from tests.tasks.queue.test_leases import register, tiny_plan
from tests.tasks.queue.test_telemetry import age, worker

PAGE = "views/workers.py"


def test_without_redis_the_page_says_so() -> None:
    app = open_page(PAGE)
    assert "Redis is not running" in app.error[0].value.replace("\\", "")
    assert "keeps trying" in app.error[0].value
    assert not app.metric


def test_a_gpu_that_pytorch_cannot_use_is_named_once_for_its_host(redis: Redis) -> None:
    for name in ("lab-1:1", "lab-1:2"):
        telemetry.beat(redis, worker(name, host="lab", warning="this machine has a GPU (NVIDIA driver 470), but ..."))
    [warning] = open_page(PAGE).warning
    assert warning.value.replace("\\", "").startswith("This machine has a GPU (NVIDIA driver 470)")


def test_stages_without_cuda_graphs_are_counted_with_the_reason(redis: Redis) -> None:
    now, earlier = Slow("stream is capturing", 3, ("f" * 32,)), Slow("stream is capturing", 1)
    telemetry.beat(redis, worker("lab-1:1", host="lab", stage="f" * 32, slow=now))
    telemetry.beat(redis, worker("lab-1:2", host="lab", slow=earlier))
    assert [warning.value for warning in open_page(PAGE).warning] == [
        "Trains without CUDA graphs, more slowly (3 stages since its start): stream is capturing",
        "Trained 1 stage without CUDA graphs, more slowly; the last because of: stream is capturing",
    ]


def test_without_workers_the_page_says_how_to_start_some(redis: Redis) -> None:
    app = open_page(PAGE)
    text = texts(app)
    assert "No worker is running" in text
    for needed in ("ticketscope worker", "REDIS_URL", "TICKETSCOPE_ARTIFACTS"):
        assert needed in text


def test_workers_are_shown_with_their_stage_speed_and_memory(redis: Redis, database: Database, study: Study) -> None:
    gib = 1024**3
    plan = record(database, study, lambda i, s: "running" if i == 0 else "waiting")
    # The running stage belongs to the recorded study.
    [fingerprint] = [f for f, stage in list(plan.stages.items())[:1]]
    [message] = leases.register(redis, "made-study-0001", {}, [plan.stages[fingerprint]], ())
    assert leases.claim(redis, message, "gpu1-00aa:1", "gpu1", "cuda:0", 60.0)
    progress = {"epoch": 3, "epochs": 4, "train_loss": 1.0, "test_accuracy": 50.0, "epochs_per_second": 12.5}
    leases.show_progress(redis, message, {**progress, "worker": "gpu1-00aa:1", "updated": 0.0}, 60)
    register(redis, tiny_plan())
    now = datetime.now(UTC)
    telemetry.beat(
        redis,
        worker(
            "gpu1-00aa:1",
            host="gpu1",
            device="cuda:0",
            stage=fingerprint,
            gpu="A fast GPU",
            memory=Memory(2 * gib, 64 * gib, 48 * gib, 10 * gib, 40 * gib),
            trouble="cannot write x: no space left on device",
            stages=7,
            epochs=1234,
            started=now - timedelta(hours=3),
        ),
    )
    telemetry.beat(redis, worker("gpu1-00aa:2", host="gpu1", device="cuda:1"))
    telemetry.beat(redis, worker("gpu1-00aa:3", host="gpu1", device="cuda:2", stage=fingerprint, draining=True))
    for name in ("aged-1111:1", "gpu1-00aa:0"):
        telemetry.beat(redis, worker(name, host=name.split("-")[0], stage=fingerprint))
        age(redis, name, 40)
    app = open_page(PAGE)
    numbers = {metric.label: metric.value for metric in app.metric}
    assert numbers == {
        "Alive": "3",
        "Training": "1",
        "Idle": "1",
        "Draining": "1",
        "Silent": "2",
        "Epochs per second": "12.5",
        "Stages queued": str(redis.zcard("ticketscope:queued")),
    }
    text = texts(app).replace("\\", "")
    for expected in (
        "A fast GPU",
        "no space left on device",
        "7 stages, 1,234 epochs done in 3 h 00 min",
        "dense · LeNet-300 on Digits · learning rate 0.01 · seed 0",
    ):
        assert expected in text
    assert text.count("silent for 4") == 2
    # Silent workers come last on their host, and hosts with only silent workers come last.
    names = ["gpu1-00aa:1", "gpu1-00aa:2", "gpu1-00aa:3", "gpu1-00aa:0", "aged-1111:1"]
    assert sorted(names, key=text.index) == names
    bars = " ".join(bar.proto.text for bar in app.get("progress"))
    for expected in ("epoch 3 of 4 · 12.5 epochs/s", "10.0 GiB of 40.0 GiB", "16.0 GiB of 64.0 GiB"):
        assert expected in bars
    # A silent worker's stage is trained by another, and its progress is shown only there.
    assert bars.count("epoch 3 of 4") == 1
    assert {link.label for link in app.get("page_link")} == {"**Small study**"}


def test_a_worker_is_shown_before_its_study_is_recorded(redis: Redis) -> None:
    telemetry.beat(redis, worker("h-1:1", stage="f" * 32))
    assert "a study that is not recorded yet" in texts(open_page(PAGE))


def test_the_page_continues_when_redis_is_back(home: object) -> None:
    del home
    app = open_page(PAGE)
    assert app.error
    with serving(settings()) as client:
        telemetry.beat(client, worker("h-1:1"))
        assert "h-1:1" in texts(rerun(app)).replace("\\", "")
        assert not app.error
        client.close()


def test_the_page_counts_the_stages_that_a_worker_trains_concurrently(redis: Redis) -> None:
    messages = register(redis, tiny_plan(seeds=[0, 1, 2]))
    progress = {"epoch": 3, "epochs": 4, "train_loss": 1.0, "test_accuracy": 50.0, "epochs_per_second": 12.5}
    for message in messages:
        assert leases.claim(redis, message, "gpu1-00aa:1", "gpu1", "cuda:0", 60.0)
        leases.show_progress(redis, message, {**progress, "worker": "gpu1-00aa:1", "updated": 0.0}, 60)
    first, *others = (message.fingerprint for message in messages)
    telemetry.beat(redis, worker("gpu1-00aa:1", host="gpu1", device="cuda:0", stage=first, beside=tuple(others)))
    text = texts(open_page(PAGE))
    assert "and 2 stages of its shape side by side with it · 37.5 epochs/s together" in text
