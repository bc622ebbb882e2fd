"""HAProxy and nginx as sidecars, where they are installed: plain proxies with kept connections, no policy."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from .child import Child, free_port
from .upstream import nginx_version

if TYPE_CHECKING:
    from pathlib import Path


class Proxy(Child):
    """A proxy of `port` to an upstream."""

    port: int
    version: str


class HaproxySidecar(Proxy):
    name = "haproxy"

    def __init__(self, binary: str, upstream: int, folder: Path, *, core: int | None = None) -> None:
        self.port = free_port()
        asked = subprocess.run([binary, "-v"], capture_output=True, text=True, timeout=10, check=False)
        self.version = (asked.stdout.split() or ["", "", "unknown"])[2]
        path = folder / "haproxy.cfg"
        path.write_text(_HAPROXY.format(port=self.port, upstream=upstream))
        super().__init__([binary, "-db", "-f", path], folder / "haproxy.log", core=core)
        _ready(self)


class NginxSidecar(Proxy):
    name = "nginx"

    def __init__(self, binary: str, upstream: int, folder: Path, *, core: int | None = None) -> None:
        self.port = free_port()
        self.version = nginx_version(binary)
        path = folder / "sidecar.conf"
        path.write_text(_NGINX.format(folder=folder, port=self.port, upstream=upstream))
        super().__init__([binary, "-p", folder, "-c", path, "-e", "stderr"], folder / "sidecar.log", core=core)
        _ready(self)


KINDS: dict[str, type[HaproxySidecar | NginxSidecar]] = {"haproxy": HaproxySidecar, "nginx": NginxSidecar}


def find(name: str) -> str | None:
    """Return the program of a sidecar by its name, `None` where it is not installed."""
    return shutil.which(name)


def _ready(proxy: Proxy) -> None:
    try:
        proxy.wait_for(proxy.port)
    except BaseException:
        proxy.stop()
        raise


_HAPROXY = """\
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 1s
  timeout client 1h
  timeout server 1h
  http-reuse always
frontend sidecar
  bind 127.0.0.1:{port}
  default_backend upstream
backend upstream
  retries 3
  server upstream 127.0.0.1:{upstream} pool-max-conn 4096
"""

_NGINX = """\
daemon off; worker_processes 1; master_process off; pid {folder}/sidecar.pid; error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; tcp_nodelay on;
  client_body_temp_path {folder}/sidecar-body; proxy_temp_path {folder}/sidecar-proxy;
  fastcgi_temp_path {folder}/sidecar-fastcgi; uwsgi_temp_path {folder}/sidecar-uwsgi;
  scgi_temp_path {folder}/sidecar-scgi;
  upstream service {{ server 127.0.0.1:{upstream}; keepalive 4096; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""
