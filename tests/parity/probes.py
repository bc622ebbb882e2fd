"""Scenarios to test the harness with: most of them are wrong on purpose."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

from .bootstrap import boot, cluster, retry, route
from .expect import Between, SameOnBoth
from .look import body, hits, see, status
from .model import Do, Scenario, get

RETRIED = Scenario(
    "probe_retried",
    "a 503 is retried",
    policy=boot([route(retry_policy=retry("5xx", 1))]),
    calls=[get()],
    expect=[status(200), hits(a=2)],
    upstreams={"a": [503, 200]},
)
WRONG = replace(RETRIED, name="probe_wrong", expect=[status(200), hits(a=3)])
UNKNOWN_FIELD = replace(RETRIED, name="probe_unknown_field", policy=boot(clusters=[cluster("a", no_such_field=1)]))
HANGING = replace(RETRIED, name="probe_hanging", calls=[Do(lambda run: time.sleep(60))], limit=1.0)
CRASHING = replace(RETRIED, name="probe_crashing", calls=[Do(lambda run: os.kill(os.getpid(), signal.SIGKILL))])
RAISING = replace(RETRIED, name="probe_raising", calls=[Do(lambda run: run.upstreams["no such"])])
BLIND = replace(RETRIED, name="probe_blind", calls=[], expect=[body("never")])
SHARED_PORTS = replace(
    RETRIED,
    name="probe_shared_ports",
    expect=[see("port", lambda run: run.at("a").port, SameOnBoth(Between(1024, 65535)))],
    same_ports=True,
)

PROBES = [RETRIED, WRONG, UNKNOWN_FIELD, HANGING, CRASHING, RAISING, BLIND, SHARED_PORTS]
