"""Base64url without padding (RFC 7515 §2). Only the canonical spelling of each value can be decoded."""

import base64
import binascii

__all__ = ["decode_base64url", "encode_base64url"]

# "-" and "_" replace "+" and "/". In base64url, "+", "/" and "=" are not allowed, so they become "!", which is refused.
_TO_BASE64 = bytes.maketrans(b"-_+/=", b"+/!!!")
# The allowed last characters, by the length of the text modulo four: those whose unused bits are zero.
# RFC 4648 §3.5: with other characters, one token would have several spellings.
_LAST_CHARACTERS = ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", "", "AQgw", "AEIMQUYcgkosw048")
_PADDING = (b"", b"", b"==", b"=")


def decode_base64url(text: str, max_size: int) -> bytes | None:
    # RFC 7515 §2: "with all trailing '=' characters omitted [...] and without the inclusion of any line breaks,
    # whitespace, or other additional characters."
    excess = len(text) % 4
    if len(text) * 3 // 4 > max_size or text[-1:] not in _LAST_CHARACTERS[excess]:
        return None
    try:
        return binascii.a2b_base64(text.encode("ascii").translate(_TO_BASE64) + _PADDING[excess], strict_mode=True)
    except ValueError:
        return None


def encode_base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
