"""Keys made and requests signed without the gateway's help: by Python's hashlib, and by the openssl command."""

import base64
import hashlib
import secrets
import subprocess
import time
from pathlib import Path


class Key:
    """An API key and its line in a keys file, as README "Keys" describes them."""

    def __init__(self, name, *rest):
        def letters(count):
            return base64.b32encode(secrets.token_bytes(count)).decode().rstrip("=").lower()

        self.name = name
        self.id = f"gw_{letters(5)}"
        self.text = f"{self.id}_{letters(32)}"
        self.secret = self.text.split("_")[2]
        self.hash = hashlib.sha256(self.text.encode()).hexdigest()
        self.line = " ".join([self.id, f"sha256:{self.hash}", name, *rest])

    def bearer(self):
        return {"Authorization": f"Bearer {self.text}"}

    def x_api_key(self):
        return {"X-Api-Key": self.text}


class Signer:
    """An ed25519 key that signs requests as the ollama command does with OLLAMA_AUTH=1: client.do in api/client.go
    and Sign in auth/auth.go of Ollama."""

    def __init__(self, directory, name, *rest):
        self.file = Path(directory) / f"{name}-{secrets.token_hex(4)}.pem"
        self._openssl("genpkey", "-algorithm", "ed25519", "-out", self.file)
        public = self._openssl("pkey", "-in", self.file, "-pubout", "-outform", "DER")[-32:]
        blob = b"".join(len(part).to_bytes(4, "big") + part for part in (b"ssh-ed25519", public))
        self.public = base64.b64encode(blob).decode()
        self.line = " ".join(["ssh-ed25519", self.public, name, *rest])

    @staticmethod
    def _openssl(*arguments):
        done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=True)
        return done.stdout

    def sign(self, method, path, at=None):
        """(target, headers) of a signed request."""
        target = f"{path}?ts={int(time.time()) if at is None else at}"
        challenge = self.file.with_suffix(".txt")
        challenge.write_text(f"{method},{target}")
        signature = self._openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.file, "-in", challenge)
        return target, {"Authorization": f"{self.public}:{base64.b64encode(signature).decode()}"}
