"""The demo's world: three loopback HTTPS upstreams that demand a client certificate, and the policy leading there."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ambassador_lib.testing import Reaction, Seen, ServerTls, Upstream, reply
from ambassador_lib.testing.certificates import CertificateAuthority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ambassador_lib.testing import Answer

HERE = Path(__file__).resolve().parent
CALL_ID = "x-demo-call"
"""The header by which the demo finds its calls again in the upstreams' records."""


@dataclass(frozen=True)
class Stage:
    """Who plays: the upstreams, and the policy file that the client is opened with."""

    policy: Path
    upstreams: tuple[Upstream, ...]

    def all_answer(self, answer: Answer = 200) -> None:
        """Have every upstream up and answering with `answer`."""
        for upstream in self.upstreams:
            upstream.replies(answer)

    def seen(self, call_id: str) -> list[Seen]:
        """Return the requests of one call that reached an upstream, in the order of their arrival."""
        requests = [
            seen for upstream in self.upstreams for seen in upstream.requests if seen.header(CALL_ID) == call_id
        ]
        return sorted(requests, key=lambda seen: seen.arrived)

    def forget(self) -> None:
        """Begin new records."""
        for upstream in self.upstreams:
            upstream.forget()


@contextlib.contextmanager
def set_up(folder: Path = HERE) -> Iterator[Stage]:
    """Make certificates, start the upstreams, and write `envoy.yaml` into `folder`."""
    certificates = folder / "certs"
    authority = CertificateAuthority(certificates)
    server = authority.issue("billing-server", "billing.internal")
    authority.issue("billing-app")
    tls = ServerTls(server.certificate, server.key, client_authority=authority.path)
    with contextlib.ExitStack() as running:
        upstreams = tuple(running.enter_context(Upstream(name=name, tls=tls)) for name in ("alpha", "beta", "gamma"))
        policy = folder / "envoy.yaml"
        policy.write_text(_policy_text(upstreams, certificates))
        yield Stage(policy, upstreams)


def _policy_text(upstreams: tuple[Upstream, ...], certificates: Path) -> str:
    template = (HERE / "envoy.template.yaml").read_text()
    _, _, text = template.partition("static_resources:")
    for port, upstream in zip((8441, 8442, 8443), upstreams, strict=True):
        text = text.replace(f"port_value: {port} ", f"port_value: {upstream.port} ")
    return "# Written by the demo from envoy.template.yaml.\nstatic_resources:" + text.replace(
        "/etc/certs", str(certificates)
    )


def failing_at_first(times: int) -> Callable[[Seen], Reaction]:
    """Answer the first `times` tries of each call with a 503, whichever upstream they reach, and then well."""
    tries: Counter[str | None] = Counter()
    lock = threading.Lock()

    def answer(seen: Seen) -> Reaction:
        call_id = seen.header(CALL_ID)
        with lock:
            tries[call_id] += 1
            failing = tries[call_id] <= times
        if failing:
            return reply(503, text="come back later")
        return reply(201 if seen.method == "POST" else 200, text="charged")

    return answer
