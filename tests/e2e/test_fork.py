"""A client that was opened before `fork()` works on both sides of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ambassador_lib.testing import Upstream, reply

ROOT = Path(__file__).resolve().parents[2]

FORKING = """
import os, sys
from ambassador_lib import Client

url = "http://127.0.0.1:15001/"
with Client(sys.argv[1]) as client:
    assert client.get(url + "before").status_code == 200
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = int(client.get(url + "child").status_code != 200)
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert client.get(url + "parent").status_code == 200
"""

FORKING_AMID_CALLS = """
import os, sys, threading, time
from ambassador_lib import Client

url = "http://127.0.0.1:15001/"
with Client(sys.argv[1]) as client:
    threads = [threading.Thread(target=client.get, args=(url + "slow",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    limits = client._ambassador()._at_work.clusters["up"].limits["DEFAULT"]
    until = time.monotonic() + 10
    while limits.active < 2 and time.monotonic() < until:
        time.sleep(0.001)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = int(client.get(url + "child").status_code != 200)
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    for thread in threads:
        thread.join()
    assert client.get(url + "parent").status_code == 200
    assert limits.active == 0
"""

FORKING_UNDER_DISCOVERY = """
import json, os, sys, time
from ambassador_lib import Client

url = "http://127.0.0.1:15001/"

def update(path):
    document = json.loads(open(path).read().replace("127.0.0.9", "127.0.0.1"))
    open(path + ".new", "w").write(json.dumps(document))
    os.replace(path + ".new", path)

def succeeds(client):
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if client.get(url).status_code == 200:
            return True
        time.sleep(0.01)
    return False

with Client(sys.argv[1], local_replies="response") as client:
    assert client.get(url).status_code == 503
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = int(not succeeds(client))
        finally:
            os._exit(status)
    update(sys.argv[2])
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert succeeds(client)
"""

STRICT_DNS = {
    "type": "STRICT_DNS",
    "dns_lookup_family": "V4_ONLY",
    "dns_refresh_rate": "0.05s",  # keeps the control thread busy, which does not live on in the child
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
@pytest.mark.parametrize("discovery", ["STATIC", "STRICT_DNS"])
def test_both_processes_call_on_their_own_connections(
    discovery: str, policy_for: Callable[..., Any], tmp_path: Path
) -> None:
    """The child neither hangs nor shares a socket with its parent, with and without a control thread."""
    with Upstream() as upstream:
        document = policy_for(upstream, cluster=STRICT_DNS if discovery == "STRICT_DNS" else None)
        text = json.dumps(document)
        if discovery == "STRICT_DNS":
            at = f'"port_value": {upstream.port}'
            text = text.replace(f'"{upstream.host}", {at}', f'"localhost", {at}')
            assert "localhost" in text
        policy = tmp_path / "envoy.yaml"
        policy.write_text(text)
        done = subprocess.run(
            [sys.executable, "-c", FORKING, policy], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, done.stderr
        connections = {seen.path: seen.connection for seen in upstream.requests}
    assert connections["/before"] == connections["/parent"] != connections["/child"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_calls_of_other_threads_hold_no_place_in_the_child(policy_for: Callable[..., Any], tmp_path: Path) -> None:
    """Threads do not live on in a child: what they hold there would be held for good."""
    with Upstream(lambda seen: reply(after=0.3 if seen.path == "/slow" else 0.0)) as upstream:
        thresholds = {"circuit_breakers": {"thresholds": [{"max_requests": 2, "max_connections": 2}]}}
        policy = tmp_path / "envoy.yaml"
        policy.write_text(json.dumps(policy_for(upstream, cluster=thresholds)))
        done = subprocess.run(
            [sys.executable, "-c", FORKING_AMID_CALLS, policy],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")
def test_a_child_follows_the_files_too(policy_for: Callable[..., Any], tmp_path: Path) -> None:
    """An update after the fork is seen on both sides of it."""
    with Upstream() as upstream:
        endpoints = tmp_path / "eds.json"
        source = {"path_config_source": {"path": str(endpoints)}}
        document = policy_for(upstream, cluster={"type": "EDS", "eds_cluster_config": {"eds_config": source}})
        found = document["static_resources"]["clusters"][0].pop("load_assignment")
        found["@type"] = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
        endpoints.write_text(json.dumps({"resources": [found]}).replace("127.0.0.1", "127.0.0.9"))
        policy = tmp_path / "envoy.yaml"
        policy.write_text(json.dumps(document))
        command = [sys.executable, "-c", FORKING_UNDER_DISCOVERY, policy, endpoints]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 0, done.stderr
