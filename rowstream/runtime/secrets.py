"""The secrets file: the keys that sign access tokens, and the keys that other secrets are derived from.

It is a JWK set (RFC 7517) in one JSON file that only its owner may read. Of its Ed25519 keys the first signs and all
verify, so a rotation is a new first key: tokens that an older one signed hold until that one is dropped. From its `oct`
keys secrets are derived (HKDF, RFC 5869) that are stored nowhere else; the first one makes new ones.
"""

import json
import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc.errors import JoseError
from joserfc.jwk import OctKey, OKPKey

from rowstream.errors import Fatal
from rowstream.runtime.logging import get_logger

log = get_logger(__name__)

SETTING = "ROWSTREAM_ACCESS__SECRETS_FILE"
ALGORITHM = "Ed25519"  # EdDSA on this curve alone, as RFC 9864 names it
DERIVED_BYTES = 32
_MARKS = {"use": "sig", "alg": ALGORITHM}
_LEAST_KEY_BYTES = 32


class NoSecrets(Fatal):
    """No secrets file was named, so nobody can log in, no request be signed, and no answer be kept sealed."""

    def __init__(self) -> None:
        super().__init__(f"the gateway has no secrets file; make one with `rowstream secrets make`, and set {SETTING}")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Secrets:
    """What is in a secrets file: at least one key of each kind, the newest first."""

    signing: tuple[OKPKey, ...]
    derivation: tuple[OctKey, ...]

    def derive(self, purpose: str, of: str) -> bytes:
        """The secret of one thing for one purpose: 32 bytes, the same whenever it is asked for.

        Args:
            purpose: what it is for; one word of the code that asks.
            of: the id of the thing.
        """
        return self.derived(purpose, of)[0]

    def derived(self, purpose: str, of: str) -> tuple[bytes, ...]:
        """What `derive` says, and what it said when each of the older keys was the first."""
        info = f"rowstream {purpose}\0{of}".encode()
        return tuple(_expand(key.raw_value, info) for key in self.derivation)

    def public(self) -> dict[str, Any]:
        """The JWK set that others verify with: no private part, no `oct` key."""
        return {"keys": [{**key.as_dict(private=False), **_MARKS, "kid": key.thumbprint()} for key in self.signing]}

    def as_json(self) -> str:
        """The text of the file."""
        signing = [{**key.as_dict(private=True), **_MARKS, "kid": key.thumbprint()} for key in self.signing]
        derivation = [{**key.as_dict(private=True), "kid": key.thumbprint()} for key in self.derivation]
        return json.dumps({"keys": [*signing, *derivation]}, indent=2) + "\n"


def new_secrets() -> Secrets:
    """Secrets that nobody had before."""
    return Secrets(signing=(_new_signing_key(),), derivation=(OctKey.generate_key(8 * DERIVED_BYTES),))


def rotated(secrets: Secrets, *, keep: int) -> Secrets:
    """The same with a new key that signs; of the older ones the newest `keep` go on verifying."""
    return Secrets(signing=(_new_signing_key(), *secrets.signing[:keep]), derivation=secrets.derivation)


def parse(text: str) -> Secrets:
    """The secrets in a file's text; a key's id is its thumbprint (RFC 7638), whatever the file says.

    Raises:
        Fatal: it is no JWK set, or a key in it is not as it should be; shows nothing of it.
    """
    try:
        keys = json.loads(text)["keys"]
        signing = tuple(OKPKey.import_key(key) for key in keys if key["kty"] == "OKP")
        derivation = tuple(OctKey.import_key(key) for key in keys if key["kty"] == "oct")
    except (ValueError, KeyError, TypeError, JoseError):
        raise Fatal("it is no JWK set; make one with `rowstream secrets make`") from None
    if any(key.curve_name != ALGORITHM or not key.is_private for key in signing):
        raise Fatal(f"each of its OKP keys must be a private one on the curve {ALGORITHM}")
    if any(len(key.raw_value) < _LEAST_KEY_BYTES for key in derivation):
        raise Fatal(f"each of its oct keys must have at least {_LEAST_KEY_BYTES} bytes")
    if not signing or not derivation:
        raise Fatal("it must have an Ed25519 key, which signs, and an oct key, from which secrets are derived")
    return Secrets(signing=signing, derivation=derivation)


def read(path: Path) -> Secrets:
    """The secrets in a file.

    Raises:
        Fatal: it cannot be read, or holds something else; names the file, shows nothing of it.
    """
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Fatal(f"the secrets file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise Fatal(f"the secrets file {path} cannot be used: it is no text") from None
    except Fatal as error:
        raise Fatal(f"the secrets file {path} cannot be used: {error}") from None


def write(path: Path, secrets: Secrets) -> None:
    """Write the file, for its owner's eyes alone; readers see the old text or the new one, never half.

    Raises:
        OSError: it cannot be written.
    """
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.as_json())
            file.flush()
            os.fsync(file.fileno())
        Path(unfinished).replace(path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise


class SecretsFile:
    """The secrets of a running gateway; a file that was changed is read again at the next use.

    What cannot be read any more, or not as secrets, is said in the log once, and what was read last goes on.
    """

    def __init__(self, path: str | None) -> None:
        """Read the file that the setting names.

        Raises:
            Fatal: it names one that cannot be used.
        """
        self._path = Path(path) if path else None
        self._lock = threading.Lock()
        self._seen = _state_of(self._path)
        self._secrets = read(self._path) if self._path else None

    def current(self) -> Secrets:
        """The secrets as the file has them now.

        Raises:
            NoSecrets: the setting names no file.
        """
        if self._path is None or self._secrets is None:
            raise NoSecrets
        if _state_of(self._path) != self._seen:
            with self._lock:
                self._read_again(self._path)
        return self._secrets

    def _read_again(self, path: Path) -> None:
        seen = _state_of(path)
        if seen == self._seen:
            return
        try:
            self._secrets = read(path)
        except Fatal as error:
            log.error("secrets not read again, the former ones go on", reason=str(error))  # noqa: TRY400 - no trace: it quotes
        else:
            log.info("secrets read again", signing_keys=len(self._secrets.signing))
        self._seen = seen


def _new_signing_key() -> OKPKey:
    return OKPKey.generate_key("Ed25519")


def _expand(key: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=DERIVED_BYTES, salt=None, info=info).derive(key)


def _state_of(path: Path | None) -> tuple[int, int, int] | None:
    """What differs once a file was replaced or rewritten; None for one that is not there."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
