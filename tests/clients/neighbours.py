"""Reverse proxies before the gateway, as processes: stock and as deploy/ recommends them, with their time-outs cut
down so that a wait longer than these takes seconds. The tunnel is a stand-in that does what cloudflared does."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import install
from harness import ROOT, Client, eventually, free_port

HERE = Path(__file__).resolve().parent
SNIPPETS = ROOT / "deploy" / "proxies"

# Seconds that a stock proxy lets an answer be silent, here: 60 s of nginx, 50 s of Debian's haproxy.cfg, 120 s of
# Cloudflare in their own settings. The gateway's heartbeat is cut down more: 10 s become 0.4.
SILENCE = 2
QUEUE = {"grace": "100ms", "heartbeat": "400ms", "commit_whole": "600ms", "status_interval": "400ms"}

NGINX = """daemon off; {user} worker_processes 1; pid {place}/pid; error_log {place}/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
{server}
}}
"""
NGINX_STOCK = """server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{gateway}; proxy_read_timeout {silence}s; }}
}}"""
HAPROXY_STOCK = """global
    maxconn 512
defaults
    mode http
    timeout connect 5s
    timeout client {silence}s
    timeout server {silence}s
frontend front
    bind 127.0.0.1:{port}
    default_backend gateway
backend gateway
    server gateway 127.0.0.1:{gateway}
"""
CADDY = "{{\n    admin off\n    auto_https off\n}}\n"
CADDY_STOCK = ":{port} {{\n    bind 127.0.0.1\n    reverse_proxy 127.0.0.1:{gateway}\n}}\n"

# What is recommended is read from the files that users are given, without what a test cannot have: names and TLS.
OF_USERS = {
    "nginx": (r"^ *(ssl_certificate|server_name).*\n", r"listen [^;]*;", "listen 127.0.0.1:{port};"),
    "haproxy": (r"^ *maxconn.*\n", r"bind .*", "bind 127.0.0.1:{port}"),
    "caddy": (r"^$", r"^ollama\.example\.org \{{2}", ":{port} {{\n\tbind 127.0.0.1"),
}
FILES = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg", "caddy": "Caddyfile"}


def recommended(kind):
    """The snippet of deploy/ for this proxy, with places for the ports."""
    text = (SNIPPETS / FILES[kind]).read_text().replace("{", "{{").replace("}", "}}")
    gone, where, here = OF_USERS[kind]
    text = re.sub(where, lambda _: here, re.sub(gone, "", text, flags=re.M), flags=re.M)
    assert "127.0.0.1:11435" in text and "{port}" in text, text
    return text.replace("127.0.0.1:11435", "127.0.0.1:{gateway}")


def written(kind, snippet, place, port, gateway):
    """Writes the whole configuration; returns the command that serves it."""
    text = snippet.format(port=port, gateway=gateway, silence=SILENCE)
    file = place / FILES[kind]
    if kind == "nginx":
        user = "user root;" if os.geteuid() == 0 else ""
        file.write_text(NGINX.format(user=user, place=place, server=text))
        return [install.needed("nginx", "/usr/sbin/nginx"), "-p", str(place), "-c", str(file)]
    if kind == "haproxy":
        file.write_text(text)
        return [install.needed("haproxy", "/usr/sbin/haproxy"), "-db", "-q", "-f", str(file)]
    file.write_text(CADDY.format() + text)
    return [install.needed("caddy"), "run", "--adapter", "caddyfile", "--config", str(file)]


NEIGHBOURS = {
    "nginx, stock": ("nginx", lambda: NGINX_STOCK),
    "nginx, deploy/": ("nginx", lambda: recommended("nginx")),
    "haproxy, stock": ("haproxy", lambda: HAPROXY_STOCK),
    "haproxy, deploy/": ("haproxy", lambda: recommended("haproxy")),
    "caddy, stock": ("caddy", lambda: CADDY_STOCK),
    "caddy, deploy/": ("caddy", lambda: recommended("caddy")),
    "tunnel": ("tunnel", None),
}


@contextlib.contextmanager
def neighbour(name, gateway, place):
    """The port on which that proxy stands before the gateway."""
    kind, snippet = NEIGHBOURS[name]
    port = free_port()
    if kind == "tunnel":
        command = [install.python()[0], str(HERE / "python" / "tunnel.py"), str(port), gateway.url, str(SILENCE)]
    else:
        command = written(kind, snippet(), place, port, gateway.port)
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**compiled, "HOME": str(place), "XDG_DATA_HOME": str(place), "XDG_CONFIG_HOME": str(place)}
    log = (place / "log").open("w")
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=place)

    def listens():
        with contextlib.suppress(OSError), Client("127.0.0.1", port):
            return True
        return process.poll() is not None

    try:
        up = eventually(listens, within=90, step=0.05) and process.poll() is None
        assert up, f"{' '.join(command)}\n{(place / 'log').read_text()}"
        yield port
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


if __name__ == "__main__":
    print(recommended(sys.argv[1]))
