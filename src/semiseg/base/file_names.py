"""Names of files in other encodings: Python keeps bytes that are not UTF-8 as lone surrogates."""

from pathlib import PurePath


def utf8(name: str | PurePath) -> bool:
    """Whether a name can be written as UTF-8; a name of other bytes holds lone surrogates."""
    try:
        str(name).encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(name: str | PurePath) -> str:
    """A name for messages and logs: bytes that are not UTF-8 are escaped."""
    return str(name).encode(errors="backslashreplace").decode()
