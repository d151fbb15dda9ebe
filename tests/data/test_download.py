"""Downloads over real HTTP on loopback: continued, verified, patient, and never a wrong file under its name."""

import email.utils
import hashlib
import json
import random
import shutil
import socket
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.faulty_server import Fault, faulty, forever, serve

from semiseg.base.errors import UserError
from semiseg.base.files import read_json, sha256
from semiseg.data.arrival.download import fetch, fetch_all, is_whole
from semiseg.data.arrival.folder_adapter import folder_session
from semiseg.data.arrival.http import Patience, fetch_json, mirrored, open_session
from semiseg.dataset import FetchJson, Part, RawCase, RemoteFile, get_dataset
from semiseg.stages.download import download

BODY = random.Random(3).randbytes(300_000)
MD5 = "md5:" + hashlib.md5(BODY).hexdigest()


class Clock:
    """Notes waits in place of waiting."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def patience(self, **given: Any) -> Patience:
        return Patience(**{"attempts": 4, "read_s": 5.0, "connect_s": 5.0, "sleep": self.waits.append, **given})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def served(tmp_path: Path) -> Path:
    (tmp_path / "served" / "host").mkdir(parents=True)
    (tmp_path / "served" / "host" / "a.bin").write_bytes(BODY)
    return tmp_path / "served"


def remote(base: str, **given: Any) -> RemoteFile:
    return RemoteFile(**{"name": "a.bin", "url": f"{base}/host/a.bin", "bytes": len(BODY), "checksum": MD5, **given})


def get(tmp_path: Path, served: Path, clock: Clock, *faults: Fault, **given: Any) -> list[dict[str, Any]]:
    """Fetch one file into tmp_path/out; what was asked."""
    with faulty(served, *faults) as (base, asked), open_session(clock.patience()) as session:
        fetch(remote(base, **given), tmp_path / "out", session, clock.patience())
    return asked


def whole(tmp_path: Path) -> bool:
    """Whether the file is there, right, and nothing else is."""
    return [path.name for path in (tmp_path / "out").iterdir()] == ["a.bin"] and (
        (tmp_path / "out" / "a.bin").read_bytes() == BODY
    )


def refused(tmp_path: Path, served: Path, clock: Clock, message: str, *faults: Fault, **given: Any) -> None:
    with pytest.raises(UserError, match=message) as caught:
        get(tmp_path, served, clock, *faults, **given)
    assert "\n" not in str(caught.value) and not (tmp_path / "out" / "a.bin").exists()


UNPUBLISHED = {"bytes": None, "checksum": None}


@pytest.mark.parametrize("given", [{}, {"checksum": "sha256:" + hashlib.sha256(BODY).hexdigest()}, UNPUBLISHED])
def test_a_good_server(tmp_path: Path, served: Path, clock: Clock, given: dict[str, Any]) -> None:
    asked = get(tmp_path, served, clock, **given)
    assert whole(tmp_path) and len(asked) == 1 and asked[0]["range"] is None and not clock.waits


@pytest.mark.parametrize("given", [{}, UNPUBLISHED])
def test_a_cut_transfer_continues_where_it_was_cut(
    tmp_path: Path, served: Path, clock: Clock, given: dict[str, Any]
) -> None:
    asked = get(tmp_path, served, clock, Fault(cut=100_000), Fault(cut=50_000), **given)
    assert [entry["range"] for entry in asked] == [None, "bytes=100000-", "bytes=150000-"]
    assert asked[1]["if_range"] == '"v1"' and whole(tmp_path)


def test_progress_renews_patience(tmp_path: Path, served: Path, clock: Clock) -> None:
    """Twelve cuts with four attempts: each gains something, so each wait is the first."""
    get(tmp_path, served, clock, *[Fault(cut=20_000)] * 12)
    assert whole(tmp_path) and clock.waits == [1.0] * 12


def test_a_cut_transfer_continues_in_the_next_call(tmp_path: Path, served: Path, clock: Clock) -> None:
    with (
        faulty(served, Fault(cut=100_000), forever(Fault(status=503))) as (base, _),
        open_session(clock.patience()) as session,
    ):
        with pytest.raises(
            UserError, match=r"503 Service Unavailable, given up after 4 attempts.*what has arrived is kept"
        ):
            fetch(remote(base), tmp_path / "out", session, clock.patience())
        assert (tmp_path / "out" / "a.bin.part").stat().st_size == 100_000
        with faulty(served) as (other, asked):
            (tmp_path / "out" / "a.bin.part.json").write_text(
                (tmp_path / "out" / "a.bin.part.json").read_text(encoding="utf-8").replace(base, other)
            )
            fetch(remote(other), tmp_path / "out", session, clock.patience())
    assert whole(tmp_path) and [entry["range"] for entry in asked] == ["bytes=100000-"]


def test_a_file_that_changed_on_the_server_starts_anew(tmp_path: Path, served: Path, clock: Clock) -> None:
    old = Fault(cut=100_000, tag='"v0"', body=bytes(400_000))
    asked = get(tmp_path, served, clock, old, **UNPUBLISHED)
    assert whole(tmp_path) and len(asked) == 2 and asked[1]["if_range"] == '"v0"'


def test_a_part_of_a_file_of_another_size_is_not_continued(tmp_path: Path, served: Path, clock: Clock) -> None:
    """Even if the server disregards which version was asked for."""
    old = Fault(cut=100_000, tag='"v0"', body=bytes(400_000))
    asked = get(tmp_path, served, clock, old, Fault(any_version=True), **UNPUBLISHED)
    assert whole(tmp_path) and [entry["range"] for entry in asked] == [None, "bytes=100000-", None]


@pytest.mark.parametrize("tag", [None, 'W/"v1"'])
def test_without_a_validator_only_a_checksum_allows_to_continue(
    tmp_path: Path, served: Path, clock: Clock, tag: str | None
) -> None:
    asked = get(tmp_path, served, clock, Fault(cut=100_000, tag=tag), **UNPUBLISHED)
    assert whole(tmp_path) and [entry["range"] for entry in asked] == [None, None]
    shutil.rmtree(tmp_path / "out")
    asked = get(tmp_path, served, clock, Fault(cut=100_000, tag=tag))
    assert whole(tmp_path) and [entry["range"] for entry in asked] == [None, "bytes=100000-"]


def test_a_part_of_unknown_origin_is_dropped(tmp_path: Path, served: Path, clock: Clock) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.bin.part").write_bytes(bytes(1000))
    assert get(tmp_path, served, clock)[0]["range"] is None
    assert whole(tmp_path)


def test_a_server_that_ignores_ranges(tmp_path: Path, served: Path, clock: Clock) -> None:
    asked = get(tmp_path, served, clock, Fault(cut=100_000), Fault(ranges=False))
    assert whole(tmp_path) and len(asked) == 2


def test_a_server_that_never_gets_further(tmp_path: Path, served: Path, clock: Clock) -> None:
    refused(tmp_path, served, clock, "the connection failed .*after 4 attempts", forever(Fault(cut=9000, ranges=False)))
    assert clock.waits == [1.0, 2.0, 4.0]  # only the first attempt gained bytes


def test_a_range_that_starts_elsewhere(tmp_path: Path, served: Path, clock: Clock) -> None:
    asked = get(tmp_path, served, clock, Fault(cut=100_000), Fault(shift=7))
    assert whole(tmp_path) and [entry["range"] for entry in asked] == [None, "bytes=100000-", None]


LIES = {
    "too little, announced as the whole": Fault(body=BODY[:1000]),
    "too little, announced longer": Fault(body=BODY[:1000], length=len(BODY)),
    "too short a length": Fault(length=1000),
    "too long a length": Fault(length=len(BODY) + 1000),
    "too much": Fault(body=BODY + b"more"),
    "too much, in chunks": Fault(body=BODY + b"more", chunked=True),
    "chunks that never end": Fault(cut=5000, chunked=True, drop_end=True),
    "wrong bytes": Fault(body=BODY[:-1] + b"?"),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_once_are_put_right(tmp_path: Path, served: Path, clock: Clock, lie: str) -> None:
    get(tmp_path, served, clock, LIES[lie])
    assert whole(tmp_path)


ALWAYS = {
    "too little, announced as the whole": "was cut after 1000 of 300000 bytes|416",
    "too much": "sends more than the 300000 bytes that were expected",
    "too much, in chunks": "sends more than the 300000 bytes that were expected",
    "chunks that never end": "the connection failed",
    "wrong bytes": r"gave other bytes than published \(md5 .*, expected [0-9a-f]{32}",
}


@pytest.mark.parametrize("lie", ALWAYS)
def test_lies_for_ever_are_told(tmp_path: Path, served: Path, clock: Clock, lie: str) -> None:
    fault = forever(replace(LIES[lie], ranges=False))
    refused(tmp_path, served, clock, f"a.bin: http.*({ALWAYS[lie]}).*given up after 4 attempts", fault)


def test_chunks_of_unknown_length(tmp_path: Path, served: Path, clock: Clock) -> None:
    get(tmp_path, served, clock, Fault(chunked=True), **UNPUBLISHED)
    assert whole(tmp_path)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_statuses_that_pass(tmp_path: Path, served: Path, clock: Clock, status: int) -> None:
    get(tmp_path, served, clock, Fault(status=status), Fault(status=status))
    assert whole(tmp_path) and clock.waits == [1.0, 2.0]


def test_retry_after_is_honoured(tmp_path: Path, served: Path, clock: Clock) -> None:
    date = email.utils.formatdate(time.time() + 40, usegmt=True)
    waits = [{"Retry-After": "7"}, {"Retry-After": date}, {"Retry-After": "soon"}]
    get(tmp_path, served, clock, *[Fault(status=429, headers=header) for header in waits])
    assert whole(tmp_path) and clock.waits == [7.0, pytest.approx(40, abs=3), 4.0]


def test_a_wait_beyond_patience_is_told(tmp_path: Path, served: Path, clock: Clock) -> None:
    fault = Fault(status=429, headers={"Retry-After": "7200"})
    refused(tmp_path, served, clock, "a.bin: .*429 Too Many Requests, and the server asks to wait 7200 s", fault)


@pytest.mark.parametrize("status", [401, 403, 404, 407, 410, 451])
def test_statuses_that_stay(tmp_path: Path, served: Path, clock: Clock, status: int) -> None:
    refused(tmp_path, served, clock, f"http.*/host/a.bin answers {status} .*browser", Fault(status=status))
    assert not clock.waits


def test_a_login_page_in_place_of_the_file(tmp_path: Path, served: Path, clock: Clock) -> None:
    page = Fault(body=b"<html>log in</html>", headers={"Content-Type": "text/html; charset=utf-8"})
    refused(tmp_path, served, clock, "answers with a web page, not with the file: open it in a browser, log in", page)
    unnamed = forever(Fault(body=b"<html>log in</html>"))
    with pytest.raises(UserError, match="gave no whole zip archive"):
        get(tmp_path, served, clock, unnamed, **UNPUBLISHED, name="a.zip")
    assert not list((tmp_path / "out").glob("*.zip"))


def test_a_redirection_is_followed_and_a_circle_is_told(tmp_path: Path, served: Path, clock: Clock) -> None:
    get(tmp_path, served, clock, Fault(status=302, headers={"Location": "/host/a.bin"}))
    assert whole(tmp_path)
    (tmp_path / "out" / "a.bin").unlink()
    circle = forever(Fault(status=302, headers={"Location": "/host/a.bin"}))
    refused(tmp_path, served, clock, "leads in circles", circle)


def test_a_server_that_falls_silent(tmp_path: Path, served: Path, clock: Clock) -> None:
    with faulty(served, Fault(pause=1.0)) as (base, asked), open_session(clock.patience()) as session:
        fetch(remote(base), tmp_path / "out", session, clock.patience(read_s=0.3))
    assert whole(tmp_path) and len(asked) == 2


def nowhere() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def test_no_server_at_all(tmp_path: Path, clock: Clock) -> None:
    with (
        open_session(clock.patience()) as session,
        pytest.raises(
            UserError, match=r"a.bin: http.*: the connection failed \(.*Connection refused.*given up after 4 attempts"
        ),
    ):
        fetch(remote(f"http://{nowhere()}"), tmp_path / "out", session, clock.patience())
    assert clock.waits == [1.0, 2.0, 4.0]


def test_a_proxy_that_leads_nowhere(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{nowhere()}")
    with (
        open_session(clock.patience()) as session,
        pytest.raises(
            UserError, match=r"http://example.org/host/a.bin cannot be reached through the proxy .*unset HTTP_PROXY"
        ),
    ):
        fetch(remote("http://example.org"), tmp_path / "out", session, clock.patience())


def test_a_broken_tls_connection(tmp_path: Path, served: Path, clock: Clock) -> None:
    with (
        serve(served) as base,
        open_session(clock.patience()) as session,
        pytest.raises(UserError, match=r"has no certificate that is trusted here"),
    ):
        fetch(remote(base.replace("http:", "https:")), tmp_path / "out", session, clock.patience())


@pytest.mark.parametrize("url", ["nothing", "ftp://host/a.bin", "http://"])
def test_an_address_that_is_none(tmp_path: Path, clock: Clock, url: str) -> None:
    with open_session(clock.patience()) as session, pytest.raises(UserError, match="is no address of a file"):
        fetch(remote("", url=url), tmp_path / "out", session, clock.patience())


# --- several files ---------------------------------------------------------------------------------------------------


def test_several_files_at_a_time_and_whole_ones_are_kept(
    tmp_path: Path, served: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with faulty(served) as (base, asked):
        files = [remote(base, name=f"part/{i}.bin") for i in range(5)]
        fetch_all(files, tmp_path / "out", workers=3, patience=clock.patience())
        assert len(asked) == 5 and all(is_whole(file, tmp_path / "out" / file.name) for file in files)
        (tmp_path / "out" / "part" / "3.bin").write_bytes(BODY[:-1] + b"?")
        fetch_all(files, tmp_path / "out", workers=3, patience=clock.patience())
        assert len(asked) == 6 and is_whole(files[3], tmp_path / "out" / "part" / "3.bin")
    assert "download: 2/2 MB (100 %), ETA 0:00" in capsys.readouterr().err


def test_progress_in_files_where_sizes_are_unknown(
    tmp_path: Path, served: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(served) as base:
        fetch_all([remote(base, **UNPUBLISHED)], tmp_path / "out")
    assert "download: 1/1 file (100 %)" in capsys.readouterr().err


def test_one_lost_file_ends_the_others_soon_and_keeps_their_parts(tmp_path: Path, served: Path) -> None:
    """The first file would wait a thousand seconds for the server, one at a time; the second is not there."""
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        time.sleep(0.01)

    busy = forever(Fault(cut=1000))
    with faulty(served, busy) as (base, _):
        files = [remote(base), remote(base, name="b.bin", url=f"{base}/host/b.bin")]
        patience = Patience(first_wait_s=1000, longest_wait_s=1000, most_wait_s=1000, sleep=nap)
        with pytest.raises(UserError, match=r"b\.bin answers 404"):
            fetch_all(files, tmp_path / "out", workers=2, patience=patience)
    assert sum(naps) < 1000
    assert not (tmp_path / "out" / "a.bin").exists() and (tmp_path / "out" / "a.bin.part").exists()


def test_room_is_checked_for_all_files_before(tmp_path: Path, clock: Clock) -> None:
    files = [RemoteFile(f"{i}.bin", f"http://{nowhere()}/{i}", 2**60) for i in range(3)]
    with pytest.raises(UserError, match=r"3 files need 3458764513\.8 GB more in .*out, .* GB are free: free some"):
        fetch_all(files, tmp_path / "out", patience=clock.patience())


@pytest.mark.parametrize("name", ["../a.bin", "/etc/a.bin", "C:/a.bin"])
def test_a_servers_list_cannot_name_files_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"the publisher's list: member .* (absolute path|points out)"):
        fetch_all([RemoteFile(name, "http://x/y")], tmp_path / "out")


def test_a_list_that_cannot_be_right(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"names a\.bin twice"):
        fetch_all([remote("http://x"), remote("http://y")], tmp_path / "out")
    with pytest.raises(UserError, match="checksum 'crc32:1' is of a kind not known here"):
        fetch_all([remote("http://x", checksum="crc32:1")], tmp_path / "out")


def test_a_folder_that_cannot_be_written(tmp_path: Path, served: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with serve(served) as base, pytest.raises(UserError, match=r"cannot write .*out \(File exists\)"):
        fetch_all([remote(base)], tmp_path / "out")


# --- a folder in the servers' place ----------------------------------------------------------------------------------


@pytest.fixture
def no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*address: Any) -> None:
        raise AssertionError(f"a connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("no_connections")
def test_a_folder_answers_queries_and_folders_and_nothing_else(tmp_path: Path, served: Path, clock: Clock) -> None:
    (served / "host" / "list?kind=A B").write_text("[1]")
    (served / "host" / "record").mkdir()
    (served / "host" / "record" / "index.json").write_text("[2]")
    (tmp_path / "secret").write_text("no")
    with folder_session(served) as session:
        assert fetch_json(session, "https://host/list?kind=A B", clock.patience()) == [1]
        assert fetch_json(session, "http://host/record", clock.patience()) == [2]
        assert session.get("https://host/%2e%2e/%2e%2e/secret").status_code == 404
        assert session.get("https://host/gone").status_code == 404
        with pytest.raises(UserError, match=r"a\.bin answers no JSON"):
            fetch_json(session, "https://host/a.bin", clock.patience())
        fetch(remote("https:/"), tmp_path / "out", session, clock.patience())
    assert whole(tmp_path)


def test_the_address_at_a_mirror() -> None:
    assert mirrored("https://host/list?kind=A B", "http://near/files/") == "http://near/files/host/list?kind=A B"


def test_a_list_is_fetched_as_patiently_as_a_file(served: Path, clock: Clock) -> None:
    (served / "host" / "list").write_text("[1, 2, 3]")
    with (
        faulty(served, Fault(status=503), Fault(cut=4)) as (base, asked),
        open_session(clock.patience()) as session,
    ):
        assert fetch_json(session, f"{base}/host/list", clock.patience()) == [1, 2, 3]
    assert len(asked) == 3 and clock.waits == [1.0, 1.0]


# --- the rule --------------------------------------------------------------------------------------------------------


@pytest.fixture
def open_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset with one open archive, in the place of LA."""

    def listed(fetch_json: FetchJson) -> list[RemoteFile]:
        return [RemoteFile(**entry) for entry in fetch_json("https://open.org/api/files?format=json")["files"]]

    def find(raw: Path) -> list[RawCase]:
        labels = {path.stem: path.name for path in raw.glob("*.label")}
        return [RawCase(path.stem, path.name, labels.get(path.stem)) for path in sorted(raw.glob("*.nrrd"))]

    twin = replace(get_dataset("la"), remote=listed, find=find, parts=(Part("all", ("c1", "c2"), True, open=True),))
    monkeypatch.setattr("semiseg.stages.download.get_dataset", lambda name: twin)


def write_standin(folder: Path, content: str) -> Path:
    host = folder / "served" / "open.org"
    (host / "files").mkdir(parents=True, exist_ok=True)
    (host / "api").mkdir(exist_ok=True)
    with zipfile.ZipFile(host / "files" / "x.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo("c1.nrrd"), content)
    entry = {
        "name": "x.zip",
        "url": "https://open.org/files/x.zip",
        "bytes": (host / "files" / "x.zip").stat().st_size,
        "checksum": "sha256:" + sha256(host / "files" / "x.zip"),
    }
    (host / "api" / "files?format=json").write_text(json.dumps({"files": [entry]}))
    return folder / "standin.json"


SPEC: dict[str, Any] = {"dataset": "la", "mirror": None, "standin": True}


@pytest.mark.usefixtures("open_set")
@pytest.mark.usefixtures("no_connections")
def test_a_rehearsal_fetches_from_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past any proxy; equal content gives equal bytes; a new stand-in replaces the old."""
    monkeypatch.setenv("HTTP_PROXY", f"http://{nowhere()}")
    out = tmp_path / "data" / "archives" / "la" / "archives.json"
    standin = write_standin(tmp_path / "twin", "one")
    download(SPEC, out, standin)
    first = out.read_bytes()
    assert read_json(out)["files"]["x.zip"]["sha256"] == sha256(out.parent / "x.zip")
    changed = (out.parent / "x.zip").stat().st_mtime_ns
    download(SPEC, out, standin)
    assert out.read_bytes() == first and (out.parent / "x.zip").stat().st_mtime_ns == changed
    (out.parent / "old.zip").write_bytes(b"of an earlier stand-in")
    download(SPEC, out, write_standin(tmp_path / "twin", "two"))
    assert out.read_bytes() != first and sorted(p.name for p in out.parent.iterdir()) == ["archives.json", "x.zip"]


@pytest.mark.usefixtures("open_set")
def test_a_mirror_in_the_publishers_place(tmp_path: Path) -> None:
    write_standin(tmp_path / "twin", "one")
    out = tmp_path / "data" / "archives" / "la" / "archives.json"
    with serve(tmp_path / "twin" / "served") as base:
        download({**SPEC, "standin": False, "mirror": base}, out)
    assert list(read_json(out)["files"]) == ["x.zip"] and base not in out.read_text(encoding="utf-8")


@pytest.mark.usefixtures("open_set")
def test_nothing_is_fetched_that_was_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out = tmp_path / "data" / "raw" / "la", tmp_path / "data" / "archives" / "la" / "archives.json"
    raw.mkdir(parents=True)
    spec = {**SPEC, "standin": False, "mirror": f"http://{nowhere()}/gone?"}
    for name in ("c1.nrrd", "c1.label", "c2.nrrd", "c2.label"):
        (raw / name).touch()
    download(spec, out)
    assert read_json(out) == {"dataset": "la", "files": {}}
    assert "nothing to fetch, its open cases are in" in capsys.readouterr().err


@pytest.mark.usefixtures("open_set")
@pytest.mark.parametrize("present", [["c1.nrrd", "c1.label"], ["c1.nrrd", "c1.label", "c2.nrrd"]])
def test_an_incomplete_import_does_not_count(tmp_path: Path, served: Path, present: list[str]) -> None:
    raw, out = tmp_path / "data" / "raw" / "la", tmp_path / "data" / "archives" / "la" / "archives.json"
    raw.mkdir(parents=True)
    for name in present:
        (raw / name).touch()
    with serve(served) as base, pytest.raises(UserError, match=r"open\.org/api/files\?format=json answers 404"):
        download({**SPEC, "standin": False, "mirror": base}, out)
    assert not out.exists()


@pytest.mark.usefixtures("open_set")
def test_a_list_of_another_shape(tmp_path: Path) -> None:
    standin = write_standin(tmp_path / "twin", "one")
    (tmp_path / "twin" / "served" / "open.org" / "api" / "files?format=json").write_text('{"hits": []}')
    with pytest.raises(
        UserError, match=r"server's list of la is not as expected \(KeyError\('files'\)\).*semiseg import la"
    ):
        download(SPEC, tmp_path / "data" / "archives" / "la" / "archives.json", standin)
