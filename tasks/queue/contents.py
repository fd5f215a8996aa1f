"""What the queue holds, read without changing it."""

from collections.abc import Container, Sequence

from redis import Redis

from engine.study.plan import Stage
from tasks.queue.scripts import PREFIX


def stages(redis: Redis, fingerprints: Sequence[str]) -> dict[str, tuple[Stage, str]]:
    """Return those of some stages that Redis knows, each with its last error, which is empty without one."""
    pipeline = redis.pipeline(transaction=False)
    for fingerprint in fingerprints:
        pipeline.hmget(f"{PREFIX}stage:{fingerprint}", "spec", "error")
    answers = zip(fingerprints, pipeline.execute(), strict=True)
    return {name: (Stage.model_validate_json(spec), error or "") for name, (spec, error) in answers if spec is not None}


def has_work(redis: Redis, workers: Container[str]) -> bool:
    """Return whether a stage is queued, or one of some workers, given by their names, has a stage."""
    # In one step, since a stage that is claimed in between would be in neither of the two.
    both = redis.pipeline()
    both.zcard(f"{PREFIX}queued")
    both.zrange(f"{PREFIX}leases", 0, -1)
    queued, leased = both.execute()
    pipeline = redis.pipeline(transaction=False)
    for fingerprint in leased:
        pipeline.hget(f"{PREFIX}stage:{fingerprint}", "worker")
    return bool(queued) or any(worker in workers for worker in pipeline.execute())
