"""The kit of one test: policies pointed at real upstreams for all clients of the process, misuse, and nothing left."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from ambassador_lib import AsyncClient, Client, PolicyError, surroundings
from ambassador_lib.testing import Kit, MisuseError, UnfiredStepWarning, Upstream, mapped_policy, stand_in_for_files

from .documents import CHARGES, plain, policy

TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The application's policy file."""
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps(policy("mail")))
    return path


def test_a_client_of_the_applications_own_is_pointed_too(file: Path) -> None:
    """Code that reads the file itself, and knows nothing of the test, reaches the upstream."""
    with Kit() as kit:
        payment = kit.upstreams.payment
        payment.replies(201)
        kit.policy(file, upstreams={"billing_upstream": payment})
        with Client(file) as client:
            assert client.post(CHARGES).status_code == 201
        assert len(payment.requests) == 1
        assert len(payment.addresses) == 2, "as many endpoints as the cluster has"


def test_a_client_that_was_made_before_is_pointed_for_the_test(file: Path) -> None:
    """One made at import serves its calls by the mapping while it is there, one after the other."""
    with Client(file) as client:
        for name in ("first", "second"):
            with Upstream(text_of(name), name=name) as upstream:
                with mapped_policy(file, upstreams={"billing_upstream": upstream}):
                    assert client.get(CHARGES).text == name


def text_of(name: str) -> Any:
    from ambassador_lib.testing import reply

    return reply(text=name)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_asynchronous_clients_are_pointed_as_well(file: Path, backend: str) -> None:
    """Under either loop."""

    async def main() -> None:
        with Kit() as kit:
            payment = kit.upstreams.payment
            payment.replies(503, 200)
            kit.policy(file, upstreams={"billing_upstream": payment})
            async with AsyncClient(file) as client:
                assert (await client.get(CHARGES)).status_code == 200

    anyio.run(main, backend=backend)


def test_a_call_to_a_cluster_that_nobody_mapped_never_leaves(file: Path) -> None:
    """It fails at once, and once more at the end, in case the application has swallowed it."""
    kit = Kit()
    payment = kit.upstreams.payment
    kit.policy(file, upstreams={"billing_upstream": payment})
    with (
        Client(file) as client,
        pytest.raises(MisuseError, match=r"a call at .*test_kit\.py:\d+ went to the cluster 'mail'"),
    ):
        client.get("http://127.0.0.1:15001/mail")
    with pytest.raises(MisuseError, match="cluster 'mail'"):
        kit.check()
    kit.close()


def test_mocks_need_no_mapping(file: Path) -> None:
    """A transport of the application's own that dials nobody is asked whatever is mapped."""
    inner = httpx.MockTransport(lambda request: httpx.Response(200, text="mock"))
    with Kit() as kit:
        kit.policy(file, upstreams={"billing_upstream": kit.upstreams.payment})
        with Client(file, transport=inner) as client:
            assert client.get("http://127.0.0.1:15001/mail").text == "mock"


def test_a_request_that_nobody_scripted_fails_the_test() -> None:
    """Upstreams of a kit are strict: the caller gets 501 with the reason, the test its error at the end."""
    with pytest.raises(MisuseError, match="payment was asked GET /, and nobody scripted that"), Kit() as kit:
        assert httpx.get(kit.upstreams.payment.url).status_code == 501


def test_steps_that_nobody_saw_are_a_warning() -> None:
    """What a test wanted to show has not happened."""
    with pytest.warns(UnfiredStepWarning, match=r"payment.*resets"), Kit() as kit:
        payment = kit.upstreams.payment
        payment.fails(1).then.resets(times=1).then.replies(200)
        httpx.get(payment.url)


def test_an_upstream_is_made_once() -> None:
    """Its options are given where it is first asked for."""
    with Kit() as kit:
        payment = kit.upstreams("payment", endpoints=2)
        assert kit.upstreams.payment is kit.upstreams("payment") is payment
        with pytest.raises(MisuseError, match="'payment' is there already: give it endpoints"):
            kit.upstreams("payment", endpoints=3)
        assert list(kit.upstreams) == [payment]
        assert len(kit.upstreams) == 1


def test_kits_do_not_overlap(file: Path) -> None:
    """Two mappings at a time would leave open which one a client is served by."""
    with Upstream() as upstream, mapped_policy(file, upstreams={"billing_upstream": upstream}):
        with Kit() as other, pytest.raises(MisuseError, match="one kit at a time"):
            other.policy(file, upstreams={"billing_upstream": upstream})


def test_there_must_be_a_policy() -> None:
    """`None` is a policy for clients, and none to be pointed."""
    with Kit() as kit, pytest.raises(MisuseError, match="no policy to be pointed"):
        kit.policy(None, upstreams={})  # type: ignore[arg-type]


def test_upstreams_are_given_by_cluster(file: Path) -> None:
    """The likeliest slip is to give the upstream itself."""
    with Kit() as kit, pytest.raises(MisuseError, match="which stands in for which cluster"):
        kit.policy(file, upstreams=kit.upstreams.payment)  # type: ignore[arg-type]


def test_upstreams_of_one_kit_have_dice_of_their_own() -> None:
    """Two that fail by chance do not fail in lockstep, and the kit's seed chooses when."""
    drawn = []
    for seed in (0, 0, 7):
        with Kit(seed=seed) as kit:
            drawn += [[each.random.random() for _ in range(5)] for each in (kit.upstreams.a, kit.upstreams.b)]
    assert drawn[0] == drawn[2] != drawn[1] == drawn[3]
    assert drawn[4] != drawn[0]


def test_nothing_is_left_behind(file: Path) -> None:
    """No thread, no port, no mapping; also where the test has failed."""
    before = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError), Kit() as kit:
        payment = kit.upstreams("payment", endpoints=2)
        payment.replies(200)
        kit.policy(file, upstreams={"billing_upstream": payment})
        with Client(file) as client:
            client.get(CHARGES)
        1 / 0  # noqa: B018
    assert surroundings.installed is None
    assert set(threading.enumerate()) - before == set()
    for address in payment.addresses:
        with socket.socket() as sock:
            assert sock.connect_ex(address) != 0


def secured(**fields: Any) -> dict[str, Any]:
    """Return a policy that verifies its upstream and shows a certificate, from files that are not here."""
    validation = {
        "trusted_ca": {"filename": "/nowhere/ca.crt"},
        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"suffix": ".internal"}}],
    }
    own = {"certificate_chain": {"filename": "/nowhere/shop.crt"}, "private_key": {"filename": "/nowhere/shop.key"}}
    common = {"validation_context": validation, "tls_certificates": [own], **fields.pop("common", {})}
    settings = {"@type": TLS, "sni": "billing.internal", "common_tls_context": common, **fields}
    return policy(transport_socket={"name": "tls", "typed_config": settings})


@pytest.mark.parametrize("backend", ["blocking", "asyncio", "trio"])
def test_tls_is_real_where_certificates_are_missing(backend: str) -> None:
    """The kit's authority signs both sides: names are checked, the client shows who it is."""
    with Upstream(200, name="payment") as payment:
        with mapped_policy(secured(), upstreams={"billing_upstream": payment}) as mapped:

            async def main() -> None:
                async with AsyncClient(mapped) as client:
                    assert (await client.get(CHARGES)).status_code == 200

            if backend == "blocking":
                with Client(mapped) as client:
                    assert client.get(CHARGES).status_code == 200
            else:
                anyio.run(main, backend=backend)
        (seen,) = payment.requests
        assert (seen.client, seen.server_name) == ("shop", "billing.internal")


def test_http2_is_agreed_on_in_the_handshake() -> None:
    """Protocols stay the policy's."""
    options = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
    document = secured()
    document["static_resources"]["clusters"][0]["typed_extension_protocol_options"] = options
    with Upstream(200) as payment, mapped_policy(document, upstreams={"billing_upstream": payment}) as mapped:
        with Client(mapped) as client:
            client.get(CHARGES)
        assert payment.requests[0].protocol == "HTTP/2"


def test_the_name_of_a_call_is_certified_as_it_comes() -> None:
    """With `auto_host_sni` the name depends on the call: the upstream has a certificate for each."""
    validation = {"trusted_ca": {"filename": "/nowhere/ca.crt"}}
    settings = {
        "@type": TLS,
        "auto_host_sni": True,
        "auto_sni_san_validation": True,
        "common_tls_context": {"validation_context": validation},
    }
    cluster = plain("billing_upstream")
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["hostname"] = "pay.example"
    document = policy(
        transport_socket={"name": "tls", "typed_config": settings}, load_assignment=cluster["load_assignment"]
    )
    with Upstream(200) as payment, mapped_policy(document, upstreams={"billing_upstream": payment}) as mapped:
        with Client(mapped) as client:
            assert client.get(CHARGES).status_code == 200
        assert payment.requests[0].server_name == "pay.example"


def test_a_production_secret_may_be_missing_too() -> None:
    """What a filter injects from a file is something recognisable."""
    from ambassador_lib.testing.around import Mapped

    around = Mapped()
    assert around.read("/run/secrets/token") == b"stand-in-for-token"
    assert around.read("/etc/certs/ca.crt") is None


def test_files_may_be_missing_before_there_is_a_kit() -> None:
    """For a client that is made at import; once it is over, a missing file is an error as ever."""
    end = stand_in_for_files()
    try:
        client = Client(secured())
    finally:
        end()
    with client, Upstream(200) as payment, mapped_policy(secured(), upstreams={"billing_upstream": payment}):
        assert client.get(CHARGES).status_code == 200
    with pytest.raises(PolicyError, match="cannot be read"):
        Client(secured())
