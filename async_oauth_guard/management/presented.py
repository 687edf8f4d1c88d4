"""What a client presents, as `oauth_explain` reads it: from standard input, from its arguments, and from a file."""

import getpass
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..protocol.certificates import read_certificate
from ..protocol.credentials import TOKEN
from ..protocol.secrets import Secret
from .reporting import cannot_look

__all__ = ["Presented", "read_presented"]

# Bytes. This leaves room for tokens that are too long for a guard, so that the command can say so.
_MAX_INPUT = 65_536
_HEADER = re.compile(r"authorization:", re.IGNORECASE)
_PROOF_HEADER = re.compile(r"dpop:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Presented:
    """The values of both headers, and the client's certificate as DER."""

    authorization: Secret[str]
    proof: Secret[str] | None
    certificate: bytes | None


def read_presented(
    stdin: Any, scheme: str | None, proof: str | Secret[str] | None, certificate: str | None
) -> Presented:
    """Read what is presented. Messages do not repeat any of it.

    Args:
        stdin: has the token or the whole header, and perhaps a line with the header ``DPoP``. A terminal prompts.
        scheme: the scheme for a token without one. Default: ``DPoP`` if there is a proof, else ``Bearer``.
        proof: another proof.
        certificate: the name of a file.
    """
    if scheme is not None and not TOKEN.fullmatch(scheme):
        raise cannot_look("--scheme must be the name of an authentication scheme, such as Bearer.")
    der = None if certificate is None else _read_certificate(certificate)
    token, proofs = _split(_read_lines(stdin))
    if proof is not None:
        proofs.append(_read_proof(proof))
    # Servers join the lines of a repeated header with a comma.
    joined = Secret(",".join(proofs)) if proofs else None
    header = _complete(token, scheme or ("Bearer" if joined is None else "DPoP"))
    return Presented(Secret(header), joined, der)


def _read_proof(proof: str | Secret[str]) -> str:
    text = proof.reveal() if isinstance(proof, Secret) else proof
    if not text.isprintable():
        raise cannot_look("--dpop must be one proof as text.")
    return text


def _read_certificate(name: str) -> bytes:
    try:
        der = read_certificate(Path(name).read_bytes())
    except (OSError, ValueError):
        raise cannot_look("--certificate must name a file that can be read.") from None
    if der is None:
        raise cannot_look("--certificate must name a file with a certificate, as PEM or DER.")
    return der


def _read_lines(stdin: Any) -> Sequence[str]:
    if stdin is None:
        # Standard input is closed.
        given: Any = b""
    elif stdin.isatty():
        given = _prompt()
    else:
        given = getattr(stdin, "buffer", stdin).read(_MAX_INPUT + 1)
    return _lines(given.encode(errors="replace") if isinstance(given, str) else given)


def _prompt() -> str:
    try:
        return getpass.getpass("Token (not shown): ")
    except (EOFError, KeyboardInterrupt):
        # The terminal's cursor is still on the line of the prompt.
        raise cannot_look("\nNo token was entered.") from None


def _lines(data: bytes) -> Sequence[str]:
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if len(data) > _MAX_INPUT:
        raise cannot_look(f"Standard input has more than {_MAX_INPUT} bytes, which is too long for a token.")
    if not data.strip():
        raise cannot_look("Standard input is empty: pipe the token in.")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if not all(line.replace("\t", " ").isprintable() for line in lines):
        raise cannot_look("Standard input must be one token as text, got binary data.")
    return lines


def _split(lines: Sequence[str]) -> tuple[str, list[str]]:
    """The line with the token, and the proofs of the lines with the header ``DPoP``."""
    proofs = [line[field.end() :].strip(" \t") for line in lines if (field := _PROOF_HEADER.match(line))]
    others = [line for line in lines if not _PROOF_HEADER.match(line)]
    if len(others) > 1:
        raise cannot_look("Standard input must be one token on one line, got several lines.")
    if not others:
        raise cannot_look("Standard input has a proof but no token: add a line with the token.")
    return others[0], proofs


def _complete(line: str, scheme: str) -> str:
    if field := _HEADER.match(line):
        return line[field.end() :].strip(" \t")
    # A token contains no space, so a line with a space is a scheme and a token.
    line = line.strip(" \t")
    return line if " " in line or "\t" in line else f"{scheme} {line}"
