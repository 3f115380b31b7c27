"""The Debian package: what is in it, and how it comes and goes in a root of its own (debootstrap)."""

# ctest: timeout 900
# ctest: busy

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request

import pytest

from harness import BUILD, PATIENCE, ROOT, SANITIZED, eventually, free_port

pytestmark = pytest.mark.skipif(SANITIZED, reason="packed as it is shipped")


def run(*command, **more):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600, **more)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            if os.environ.get("CI"):
                pytest.fail(f"{tool} is not here")
            pytest.skip(f"{tool} is not here")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    need("cpack", "dpkg-deb", "dpkg-shlibdeps")
    directory = tmp_path_factory.mktemp("package")
    run("cpack", "--config", BUILD / "CPackConfig.cmake", "-B", directory)
    (file,) = directory.glob("*.deb")
    return file


def test_what_is_in_it(package):
    fields = run("dpkg-deb", "-f", package)
    assert "Package: ollama-gateway" in fields and "libc6" in re.search(r"^Depends: .*", fields, re.M).group()
    files = {line.split()[5].removeprefix("."): line.split()[0] for line in run("dpkg-deb", "-c", package).splitlines()}
    for path in (
        "/usr/bin/ollama-gateway",
        "/etc/ollama-gateway/gateway.json",
        "/usr/lib/systemd/system/ollama-gateway.service",
        "/usr/share/ollama-gateway/in-front",
        "/usr/share/doc/ollama-gateway/copyright",
        "/usr/share/doc/ollama-gateway/copyright.uplot",
    ):
        assert path in files, path
    assert not any("sim" in path or "test-" in path for path in files)
    assert all("w" not in mode[4:] for mode in files.values())


class Root:
    """A Debian of its own, of this machine's release, in a directory."""

    def __init__(self, directory):
        self.path = directory
        release = dict(line.split("=", 1) for line in open("/etc/os-release") if "=" in line)
        self.proxy = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
        codename = release["VERSION_CODENAME"].strip().strip('"')
        run("debootstrap", "--variant=minbase", codename, directory)
        os.chmod(directory, 0o755)  # it was for root alone, and others live in it too
        shutil.copy("/etc/resolv.conf", directory / "etc")
        for configuration in ("/etc/apt/apt.conf.d", "/etc/apt/auth.conf.d"):  # however this machine gets out
            for file in os.scandir(configuration) if os.path.isdir(configuration) else ():
                shutil.copy(file.path, str(directory) + configuration)

    def run(self, *command):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", **self.proxy}
        return run("chroot", self.path, *command, env=environment)

    def files(self):
        """Everything that is there but what apt and dpkg keep of their work."""
        skipped = re.compile(r"/(proc|sys|dev|run|tmp|var/(cache|log|lib/(apt|dpkg|systemd))|root)(/|$)")
        found = set()
        for place, directories, names in os.walk(self.path):
            inside = place.removeprefix(str(self.path))
            directories[:] = [d for d in directories if not skipped.match(f"{inside}/{d}")]
            found |= {f"{inside}/{name}" for name in (*directories, *names)}
        return found


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    need("debootstrap")
    if os.geteuid() != 0:
        pytest.skip("only root may make a root")
    return Root(tmp_path_factory.mktemp("root"))


def test_it_comes_runs_as_its_own_user_and_goes_without_a_trace(package, root):
    # Its libraries first, so that what changes afterwards is its own doing.
    depends = re.search(r"^Depends: (.*)", run("dpkg-deb", "-f", package), re.M).group(1)
    libraries = [name.split()[0].split("|")[0] for name in depends.split(",")]
    root.run("apt-get", "update", "-q")
    root.run("apt-get", "install", "-y", "-q", "--no-install-recommends", *libraries)
    before = root.files()
    users = (root.path / "etc/passwd").read_text()

    shutil.copy(package, root.path / "tmp" / "it.deb")
    root.run("dpkg", "-i", "/tmp/it.deb")
    assert root.run("ollama-gateway", "--version").startswith("ollama-gateway ")
    assert json.loads(root.run("ollama-gateway", "check", "--config", "/etc/ollama-gateway/gateway.json"))
    user = next(line for line in (root.path / "etc/passwd").read_text().splitlines() if line.startswith("ollama-gateway:"))
    uid, gid = user.split(":")[2:4]
    assert uid != "0" and user.endswith(("nologin", "false"))

    # As the unit starts it: this user, this file; on a port of this test.
    port, admin = free_port(), free_port()
    command = ["chroot", f"--userspec={uid}:{gid}", "--groups=", root.path, "/usr/bin/ollama-gateway", "serve"]
    command += ["--config", "/etc/ollama-gateway/gateway.json", "--listen", f"127.0.0.1:{port}"]
    with open(root.path / "tmp" / "log", "wb") as log:
        process = subprocess.Popen([*map(str, command), "--admin", f"127.0.0.1:{admin}"], stdout=log, stderr=log)
    try:

        def healthy():
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{admin}/healthz", timeout=2).status == 200
            except OSError:
                return False

        assert eventually(healthy, within=15), (root.path / "tmp" / "log").read_text()
        status = open(f"/proc/{process.pid}/status").read()
        assert re.search(rf"^Uid:\t{uid}\t{uid}", status, re.M)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10 * PATIENCE) == 0

    root.run("dpkg", "-i", "/tmp/it.deb")  # once more, as an upgrade
    root.run("dpkg", "--remove", "ollama-gateway")
    assert (root.path / "etc/ollama-gateway/gateway.json").exists()  # somebody's settings
    (root.path / "var/lib/ollama-gateway").mkdir(exist_ok=True)
    (root.path / "var/lib/ollama-gateway" / "jobs.db").write_text("")
    root.run("dpkg", "--purge", "ollama-gateway")
    left = {path for path in root.files() - before if not path.endswith(("-", ".lock"))}
    assert not left, left
    assert (root.path / "etc/passwd").read_text() == users


def test_an_installed_gateway_is_what_the_readme_calls(package, tmp_path):
    run("dpkg-deb", "-x", package, tmp_path)
    said = run(tmp_path / "usr/bin/ollama-gateway", "--help", env={"PATH": "/usr/bin:/bin"})
    for command in ("serve", "check", "top"):
        assert command in said
    text = (tmp_path / "usr/lib/systemd/system/ollama-gateway.service").read_text()
    assert text == (ROOT / "deploy" / "ollama-gateway.service").read_text()
