"""The upstream: nginx where it is installed, else a small server of our own in its own process."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

from .child import Child, free_port


class Upstream(Child):
    """Our own server (see `server`): understands `/bytes/N`, `?status=` and `?delay=`."""

    name = "upstream"

    def __init__(self, folder: Path, *, core: int | None = None, port: int | None = None) -> None:
        self.port = free_port() if port is None else port
        self.version = _server_version()
        server = Path(__file__).with_name("server.py")
        # By its path and isolated: neither the package nor what lies in the working directory is its business.
        command = [sys.executable, "-I", server, str(self.port)]
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

    def __init__(self, binary: str, folder: Path, *, core: int | None = None) -> None:
        self.port = free_port()
        self.version = f"nginx {nginx_version(binary)}"
        path = folder / "upstream.conf"
        path.write_text(_NGINX.format(folder=folder, port=self.port))
        super().__init__([binary, "-p", folder, "-c", path, "-e", "stderr"], folder / "nginx.log", core=core)
        try:
            self.wait_for(self.port)
        except BaseException:
            self.stop()
            raise


def start(folder: Path, *, core: int | None = None) -> Upstream | Nginx:
    """Start the fastest upstream that this machine has; `WorldError` where it does not start."""
    if (binary := shutil.which("nginx")) is not None:
        return Nginx(binary, folder, core=core)
    return Upstream(folder, core=core)


def nginx_version(binary: str) -> str:
    asked = subprocess.run([binary, "-v"], capture_output=True, text=True, timeout=10, check=False)
    return asked.stderr.strip().rpartition("/")[2]


def _server_version() -> str:
    try:
        return f"own, httptools {installed('httptools')}"
    except PackageNotFoundError:
        return "own"


_NGINX = """\
daemon off; worker_processes 1; master_process off; pid {folder}/upstream.pid; error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; tcp_nodelay on;
  client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi; uwsgi_temp_path {folder}/nginx-uwsgi; scgi_temp_path {folder}/nginx-scgi;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ default_type application/json; return 200 '{{"status":"ok","charge":"ch_1234567890","n":1}}'; }}
  }}
}}
"""
