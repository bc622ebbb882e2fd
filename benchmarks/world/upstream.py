"""The upstream: nginx where it is installed, else a small server of our own in its own process."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

from .child import Child, free_port


@dataclass(frozen=True)
class Certificate:
    """What a TLS upstream shows, in files: the chain with its key, and the authority that clients are to trust."""

    chain: Path
    authority: Path

    @classmethod
    def issue(cls, folder: Path) -> Certificate:
        """Make one for 127.0.0.1; `ImportError` where trustme is not installed."""
        import trustme

        authority = trustme.CA()
        made = cls(folder / "chain.pem", folder / "authority.pem")
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(made.chain)
        authority.cert_pem.write_to_path(made.authority)
        return made


class Upstream(Child):
    """Our own server (see `server`): understands `/bytes/N`, `?status=` and `?delay=`."""

    name = "upstream"

    def __init__(
        self, folder: Path, *, core: int | None = None, port: int | None = None, tls: Certificate | None = None
    ) -> None:
        self.port = free_port() if port is None else port
        self.version = _server_version()
        server = Path(__file__).with_name("server.py")
        # By its path and isolated: neither the package nor what lies in the working directory is its business.
        command = [sys.executable, "-I", server, str(self.port), *((tls.chain,) if tls is not None else ())]
        super().__init__(command, folder / f"upstream-{self.port}.log", core=core)
        try:
            # Its own word: on a port that was taken somebody else accepts.
            while "ready" not in self.tail():
                self.check()
                self.pause()
            self.wait_for(self.port)
        except BaseException:
            self.stop()
            raise


class Nginx(Child):
    """nginx, answering everything with the same small body."""

    name = "nginx"

    def __init__(self, binary: str, folder: Path, *, core: int | None = None, tls: Certificate | None = None) -> None:
        self.port = free_port()
        self.version = f"nginx {nginx_version(binary)}"
        name = "upstream" if tls is None else "upstream-tls"
        path = folder / f"{name}.conf"
        shown = "" if tls is None else f"ssl_certificate {tls.chain}; ssl_certificate_key {tls.chain};"
        ssl = "" if tls is None else "ssl "
        path.write_text(_NGINX.format(folder=folder, name=name, port=self.port, ssl=ssl, shown=shown))
        super().__init__([binary, "-p", folder, "-c", path, "-e", "stderr"], folder / f"{name}.log", core=core)
        try:
            self.wait_for(self.port)
        except BaseException:
            self.stop()
            raise


def start(folder: Path, *, core: int | None = None, tls: Certificate | None = None) -> Upstream | Nginx:
    """Start the fastest upstream that this machine has; `WorldError` where it does not start."""
    if (binary := shutil.which("nginx")) is not None:
        return Nginx(binary, folder, core=core, tls=tls)
    return Upstream(folder, core=core, tls=tls)


def nginx_version(binary: str) -> str:
    asked = subprocess.run([binary, "-v"], capture_output=True, text=True, timeout=10, check=False)
    return asked.stderr.strip().rpartition("/")[2]


def _server_version() -> str:
    try:
        return f"own, httptools {installed('httptools')}"
    except PackageNotFoundError:
        return "own"


_NGINX = """\
daemon off; worker_processes 1; master_process off; pid {folder}/{name}.pid; error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; tcp_nodelay on;
  client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi; uwsgi_temp_path {folder}/nginx-uwsgi; scgi_temp_path {folder}/nginx-scgi;
  server {{
    listen 127.0.0.1:{port} {ssl}backlog=4096; {shown}
    location / {{ default_type application/json; return 200 '{{"status":"ok","charge":"ch_1234567890","n":1}}'; }}
  }}
}}
"""
