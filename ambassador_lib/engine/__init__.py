"""Connection engines: dialling, TLS, HTTP/1.1 and HTTP/2, pools, and engines around other httpx transports."""
