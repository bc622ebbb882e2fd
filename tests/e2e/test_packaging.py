"""The wheel, installed where other users of protobuf, gRPC and OpenTelemetry live, and what importing it costs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEIGHBOURS = ("opentelemetry-exporter-otlp", "grpcio", "googleapis-common-protos", "redis", "tornado")

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command to its end and return what it printed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources: the build writes into its tree."""
    folder = tmp_path_factory.mktemp("build")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(
        ROOT / "ambassador_lib", source / "ambassador_lib", ignore=shutil.ignore_patterns("*.xz", "__pycache__")
    )
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter whose environment holds the wheel and the neighbours, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=True)
    interpreter = folder / "bin" / "python"
    run(interpreter, "-m", "pip", "install", "--quiet", wheel, *NEIGHBOURS, cwd=folder)
    return interpreter


def test_the_wheel_is_complete(wheel: Path) -> None:
    """It carries the type marker and Envoy's schema, and nothing from outside the package."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "ambassador_lib/py.typed" in names
    assert "ambassador_lib/policy/envoy_v3.binpb.xz" in names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"ambassador_lib"}
    assert wheel.name.startswith("ambassador_lib-0.1.0-py3-none-any")


IMPORTED = """
import json, sys
import httpx
before = set(sys.modules)
import ambassador_lib
print(json.dumps(sorted({name for name in set(sys.modules) - before})))
"""


def test_import_pulls_in_nothing_heavy(python: Path, tmp_path: Path) -> None:
    """Beyond httpx, `import ambassador_lib` loads itself only; what the layers need comes with the first policy."""
    loaded = json.loads(run(python, "-c", IMPORTED, cwd=tmp_path))
    heavy = ("google", "yaml", "opentelemetry", "tenacity", "pybreaker", "redis", "tornado", "click", "typer", "rich")
    assert [name for name in loaded if name.partition(".")[0] in heavy] == []
    assert "ambassador_lib" in loaded


def test_public_names_are_there_and_listed(python: Path, tmp_path: Path) -> None:
    """Every name of `__all__` can be imported, lazily or not, and `dir` shows it."""
    script = """
import ambassador_lib
assert set(ambassador_lib.__all__) <= set(dir(ambassador_lib))
for name in ambassador_lib.__all__:
    getattr(ambassador_lib, name)
for name in "Client AsyncClient AmbassadorTransport AsyncAmbassadorTransport Policy PolicyError NotReadyError".split():
    assert name in ambassador_lib.__all__, name
"""
    run(python, "-W", "error", "-c", script, cwd=tmp_path)


TOGETHER = """
import sys
from concurrent import futures
from importlib import import_module

import httpx

def ours():
    from ambassador_lib import Client
    cluster = {
        "name": "users",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "users", "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 9}}}}]}]},
    }
    inner = httpx.MockTransport(lambda request: httpx.Response(200, text="ours"))
    with Client({"static_resources": {"clusters": [cluster]}}, transport=inner) as client:
        assert client.get("http://users/").text == "ours"

def otlp():
    import_module("opentelemetry.exporter.otlp.proto.grpc.trace_exporter")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from ambassador_lib.testing import Upstream
    with Upstream() as collector:
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=collector.url + "/v1/traces")))
        with provider.get_tracer("test").start_as_current_span("a span"):
            pass
        provider.shutdown()
        (request,) = collector.requests
        assert request.path == "/v1/traces" and b"a span" in request.body

def grpc():
    import grpc
    from google.rpc import status_pb2
    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        grpc.channel_ready_future(channel).result(timeout=10)
    server.stop(None).wait(10)
    assert status_pb2.Status.FromString(status_pb2.Status(code=5).SerializeToString()).code == 5

for name in sys.argv[1:]:
    globals()[name]()
"""


@pytest.mark.parametrize("order", [("ours", "otlp", "grpc"), ("grpc", "otlp", "ours")], ids="-".join)
def test_neighbours_work_in_one_process(python: Path, tmp_path: Path, order: tuple[str, ...]) -> None:
    """A policy, an OTLP exporter, a gRPC server and Google's protos, in either order."""
    run(python, "-c", TOGETHER, *order, cwd=tmp_path)
