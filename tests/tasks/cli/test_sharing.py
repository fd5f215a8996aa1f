"""Links from the command line."""

import re
import subprocess
from pathlib import Path

from redis import Redis

from tasks.process import ROOT, python
from tasks.studies import launch
from tests.machine import Machine, tiny_study
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


def test_a_snapshot_holds_what_the_link_shows_until_the_study_ends(
    command: Command, machine: Machine, tmp_path: Path
) -> None:
    recorder, worker = machine.recorder(), machine.worker()
    study_id = machine.launch(tiny_study(pruners=[], sparsities=[], starts=[]))
    _, output, _ = command("share", study_id, "--url", "https://tickets.example")
    [address] = re.findall(r"https://\S+", output)
    arguments = python("-m", "tasks", "snapshot", address, "--out", str(tmp_path / "web"), "--every", "1")
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "the study is done" in done.stdout
    page = (tmp_path / "web" / "index.html").read_text()
    assert "1 of 1 stage done" in page
    assert (recorder.poll(), worker.poll()) == (None, None)
    refused = subprocess.run([*arguments[:4], address[:-3], *arguments[5:]], cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 2
    lines = refused.stderr.splitlines()
    [error] = [line for line in lines if not line.startswith("home ")]
    assert error.startswith("error: the link shows nothing"), lines
