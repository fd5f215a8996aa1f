"""Links from the command line."""

import re

from redis import Redis

from tasks.studies import launch
from tests.machine import tiny_study
from tests.tasks.conftest import Command


def test_a_link_is_made_listed_and_revoked_by_its_address(command: Command, redis: Redis) -> None:
    del redis
    study_id = launch.launch(tiny_study())
    _, output, _ = command("share", study_id, "--url", "https://tickets.example/lab", "--note", "for Ada")
    [address] = re.findall(r"https://tickets\.example/lab/shared\?share=\S+", output)
    token = address.split("=")[1]
    _, listed, _ = command("share", "--list")
    assert "for Ada" in listed
    assert "works" in listed
    code, output, error = command("share", "--revoke", address)
    assert code == 0
    assert re.fullmatch(r"revoked link [0-9a-f]{8}\n", output)
    assert token not in output + error
    assert "revoked" in command("share", "--list")[1]
    code, _, error = command("share", "--revoke", address[:-1])
    assert code == 2
    assert token[:-1] not in error


def test_an_anonymous_link_says_what_stays_visible(command: Command, redis: Redis) -> None:
    del redis
    study_id = launch.launch(tiny_study())
    code, _, error = command("share", study_id, "--title", "Submission 12")
    assert code == 2
    assert "give --anonymous too" in error
    code, output, _ = command(
        "share", study_id, "--anonymous", "--title", "Submission 12", "--url", "https://t.example"
    )
    assert code == 0
    assert output.startswith("anonymous link ")
    assert "Still visible: the title that you gave, its recipe and numbers" in " ".join(output.split())
    assert "the study's name (--title" in " ".join(command("share", study_id, "--anonymous")[1].split())
    listed = command("share", "--list")[1]
    assert listed.count("anonymous") == 2
