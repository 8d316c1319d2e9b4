"""The page's server by plain HTTP: whom it answers, what it stores, which frames it leaves out."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gazenas.__main__ import main
from gazenas.data.readers import open_data
from gazenas.errors import InputError
from gazenas.faces.frame import Pixels
from gazenas.faces.live import page as page_module
from gazenas.faces.live.newest import LiveGaze
from gazenas.faces.live.page import CollectPage, Wishes, page_files
from gazenas.faces.live.server import MOST_BYTES, LocalServer
from gazenas.faces.live.storage import Collection
from gazenas.faces.predictor import GazePredictor
from tests.faces.live.serving import Collecting
from tests.faces.live.test_storage import PIXELS, WIDTH, picture
from tests.faces.people import OneFace, Says
from tests.running import run_bad


class Site:
    """A server and who asks it."""

    def __init__(self, server: LocalServer) -> None:
        self.server = server

    def ask(
        self, method: str, path: str, body: bytes | dict[str, Any] | None = None, tab: str = "one", **headers: str
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=10)
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        sent = {"X-Tab": tab} | {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            text = answer.read()
            self.headers = dict(answer.getheaders())
            plain = answer.getheader("Content-Type") != "application/json"
            return answer.status, text if plain else json.loads(text)
        finally:
            connection.close()

    def post(self, name: str, body: bytes | dict[str, Any] | None = None, tab: str = "one", **headers: str) -> Any:
        return self.ask("POST", f"/{self.server.token}/{name}", {} if body is None else body, tab, **headers)

    def raw(self, text: str) -> bytes:
        with socket.create_connection(("127.0.0.1", self.server.server_port), timeout=10) as connection:
            connection.sendall(text.encode())
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(4096), b""))


@pytest.fixture
def live() -> Iterator[LiveGaze]:
    gaze = LiveGaze(GazePredictor(Says(0.1, 0.2), finder=OneFace(), smooth="one-euro", max_faces=1))
    yield gaze
    gaze.close()


@pytest.fixture
def site(tmp_path: Path, live: LiveGaze) -> Iterator[Site]:
    collection = Collection(tmp_path / "out", OneFace(), total=2)
    with LocalServer(page_files(), CollectPage(collection, live, Wishes("anna")).actions()) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield Site(server)
        server.shutdown()
        thread.join()
    collection.close()


def test_from_begin_to_end(site: Site, tmp_path: Path) -> None:
    status, settings = site.post("claim")
    assert status == 200
    assert (settings["people"], settings["person"], settings["live"]) == ([], "anna", True)
    assert site.post("picture?x=1&y=1", picture())[0] == 422
    _, progress = site.post("begin", {"person": "anna", "pixels": PIXELS, "width": WIDTH})
    assert (progress["taken"], progress["total"], len(progress["dot"])) == (0, 2, 2)
    assert site.post("picture?x=700&y=300.5", picture())[1]["taken"] == 1
    assert site.post("undo")[1]["taken"] == 0
    status, said = site.post("picture?x=700&y=300.5", picture(gray=2))
    assert (status, "lid" in said["error"]) == (422, True)
    for _ in range(2):
        status, progress = site.post("picture?x=700&y=300.5", picture())
    assert progress["dot"] is None
    assert len(open_data(tmp_path / "out").split("all")) == 2
    assert site.post("claim")[1]["people"][0]["taken"] == 2
    assert site.post("delete", {"person": "anna", "session": "1"})[1] == {"people": []}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["collected.json"]


def test_the_page_needs_nothing_from_elsewhere(site: Site) -> None:
    for name in ("", "page.js", "camera.js", "page.css"):
        status, text = site.ask("GET", f"/{site.server.token}/{name}")
        assert status == 200
        assert b"//" not in text.replace(b"// ", b"").replace(b"http://www.w3.org", b"")
    policy = site.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert site.headers["Referrer-Policy"] == "no-referrer"
    assert site.server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize("path", ["/", "/x/", "/{token}", "/{token}x/", "/favicon.ico", "/../{token}/"])
def test_a_wrong_or_missing_token(site: Site, path: str) -> None:
    status, said = site.ask("GET", path.format(token=site.server.token))
    assert status == 403
    assert "address that 'gazenas collect' printed" in said["error"]
    assert site.ask("POST", path.format(token=site.server.token) + "claim", {})[0] == 403


@pytest.mark.parametrize("name", ["nothing", "../collected.json", "%2e%2e/collected.json", "page.js/..", "page.py"])
def test_no_other_files(site: Site, name: str) -> None:
    assert site.ask("GET", f"/{site.server.token}/{name}")[0] == 404
    assert site.post(name)[0] == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),  # a name that was made to point here
        ({"Host": "evil.example:{port}"}, 421),
        ({"Host": "127.0.0.1"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),  # another port of this machine
        ({"Host": "localhost:{port}"}, 200),
        ({"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_other_sites(site: Site, headers: dict[str, str], status: int) -> None:
    filled = {name: value.format(port=site.server.server_port) for name, value in headers.items()}
    assert site.ask("GET", f"/{site.server.token}/", **filled)[0] == status
    assert site.post("claim", **filled)[0] == status


def test_posts_that_are_too_large_or_unclear(site: Site) -> None:
    site.post("claim")
    path, host = f"/{site.server.token}/frame", f"Host: 127.0.0.1:{site.server.server_port}\r\nX-Tab: one\r\n"
    for length, status in [
        (f"Content-Length: {MOST_BYTES + 1}\r\n", b"413"),
        ("Content-Length: 99999999999999999999\r\n", b"413"),
        ("Content-Length: -5\r\n", b"411"),
        ("Content-Length: many\r\n", b"411"),
        ("", b"411"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", b"411"),
        ("Content-Length: 50\r\n", b"422"),  # ends before
    ]:
        answer = site.raw(f"POST {path} HTTP/1.1\r\n{host}{length}\r\nabc")
        assert answer.split(b" ", 2)[1] == status, length
        assert b"Connection: close" in answer
    assert site.raw("nonsense\r\n\r\n").count(b"400") >= 1
    for body in (b"", b"[1]", b"{", b"\xff"):
        assert site.post("begin", body)[0] == 422


def test_wrong_values(site: Site) -> None:
    site.post("claim")
    for body in ({}, {"person": 5}, {"person": "../x"}, {"person": "anna", "pixels": "wide"}, {"person": ["a"]}):
        assert site.post("begin", body)[0] == 422
    site.post("begin", {"person": "anna", "pixels": PIXELS, "width": WIDTH})
    for query in ("", "?x=1", "?x=1&y=up", "?x=1&y=nan", "?x=1&y=1e9"):
        assert site.post(f"picture{query}", picture())[0] == 422


def test_a_second_tab(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert site.post("claim")[0] == 200
    status, said = site.post("claim", tab="two")
    assert (status, "another tab" in said["error"]) == (409, True)
    assert site.post("alive", tab="two")[0] == 409
    assert site.post("claim", {"take": True}, tab="two")[0] == 200
    assert site.post("picture?x=1&y=1", picture())[0] == 409  # the first one is told
    assert site.post("leave")[0] == 200  # which changes nothing
    assert site.post("alive", tab="two")[0] == 200
    assert site.post("leave", tab="two")[0] == 200
    assert site.post("claim")[0] == 200
    monkeypatch.setattr(page_module, "GONE", 0.0)  # a tab that was closed without a word
    assert site.post("claim", tab="three")[0] == 200
    assert site.post("claim", tab="")[0] == 422


def test_live_gaze(site: Site) -> None:
    site.post("claim")
    assert site.post("look", {"pixels": PIXELS, "width": 0})[1] == {"screen": False}
    (face,) = site.post("frame", picture())[1]["faces"]
    assert face["angles"] == pytest.approx(np.rad2deg([0.1, 0.2]), abs=1e-3)
    assert face["screen"] is None
    assert site.post("look", {"pixels": PIXELS, "width": WIDTH})[1] == {"screen": True}
    _, answer = site.post("frame", picture())
    (face,) = answer["faces"]
    assert answer["ms"] > 0
    # A face in the middle, 700 mm away, that looks up and to the image's left, the person's right.
    x, y = np.array(face["screen"]) * WIDTH / PIXELS[0] - [WIDTH / 2, 0]
    assert x == pytest.approx(700 * np.tan(0.2), rel=0.02)
    assert y == pytest.approx(-700 * np.tan(0.1) / np.cos(0.2) - 10, rel=0.02)
    assert site.post("frame", picture((20, 20)))[1]["faces"] == []
    assert "lid" in site.post("frame", picture(gray=0))[1]["error"]
    assert site.post("frame", b"noise")[0] == 422


def test_live_gaze_needs_a_model(tmp_path: Path) -> None:
    collection = Collection(tmp_path / "out", OneFace())
    actions = CollectPage(collection).actions()
    with LocalServer(page_files(), actions) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        plain = Site(server)
        assert plain.post("claim")[1]["live"] is False
        status, said = plain.post("frame", picture())
        server.shutdown()
        thread.join()
    collection.close()
    assert (status, "--model" in said["error"]) == (422, True)


class Slow(OneFace):
    """Looks at a frame when it is let; remembers how bright each was."""

    def __init__(self) -> None:
        super().__init__()
        self.came, self.let, self.seen = threading.Semaphore(0), threading.Semaphore(0), list[int]()

    def __call__(self, image: Pixels, before: Sequence[Any]) -> list[Any]:
        self.came.release()
        assert self.let.acquire(timeout=10)
        self.seen.append(round(float(image.mean())))
        if self.seen[-1] == 66:
            raise InputError("a frame that is refused")
        return super().__call__(image, before)


def test_the_newest_frame_wins() -> None:
    """While one is looked at, two come: the older one is answered with nothing, the newer one is next."""
    finder = Slow()
    gaze = LiveGaze(GazePredictor(Says(0, 0), finder=finder))
    answers: dict[int, Any] = {}

    def ask(gray: int) -> None:
        try:
            answers[gray] = gaze.ask(picture(gray=gray, kind="PNG"))
        except InputError as error:
            answers[gray] = str(error)

    threads = {gray: threading.Thread(target=ask, args=(gray,)) for gray in (50, 51, 52, 66)}
    threads[50].start()
    assert finder.came.acquire(timeout=10)
    for gray in (51, 52):
        threads[gray].start()
        until = time.monotonic() + 10
        while gaze._next is None or round(float(gaze._next.pixels.mean())) != gray:
            assert time.monotonic() < until
            time.sleep(0.005)
    finder.let.release(4)
    for gray in (50, 51, 52):
        threads[gray].join(10)
    threads[66].start()
    threads[66].join(10)
    assert finder.seen == [50, 52, 66]
    assert answers[51] is None
    assert len(answers[50]["faces"]) == len(answers[52]["faces"]) == 1
    assert answers[66] == "a frame that is refused"
    ask(70)  # and goes on
    assert len(answers[70]["faces"]) == 1
    gaze.close()
    ask(71)
    assert "ended" in answers[71]


def test_a_killed_collect_goes_on(tmp_path: Path) -> None:
    finder = ("--finder", "tests.faces.people:OneFace")
    running = Collecting(tmp_path / "out", "--pictures", "3", "--person", "anna", *finder)
    port, token = running.url.split(":")[2].split("/")[:2]

    class Server:
        server_port = int(port)

    Server.token = token  # type: ignore[attr-defined]
    site = Site(Server())  # type: ignore[arg-type]
    site.post("claim")
    site.post("begin", {"person": "anna", "pixels": PIXELS, "width": WIDTH})
    for _ in range(2):
        assert site.post("picture?x=9&y=9", picture())[0] == 200
    running.process.kill()
    running.process.communicate()
    again = Collection(tmp_path / "out", OneFace())
    assert again.begin("anna", "", PIXELS, WIDTH)["taken"] == 2
    again.close()


def test_what_is_said_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After Ctrl-C: what is stored, what reads it, how to delete it."""
    out = Collection(tmp_path / "out", OneFace(), total=3)
    out.begin("anna", "", PIXELS, WIDTH)
    out.add(picture(), [1, 1])
    out.close()

    def interrupted(server: LocalServer) -> None:
        assert server.url.startswith("http://127.0.0.1:")
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalServer, "serve_forever", interrupted)
    assert main(["collect", str(tmp_path / "out"), "--finder", "tests.faces.people:OneFace"]) == 0
    said = capsys.readouterr().out
    for part in ("1 of 3", "gazenas data normalize", f"rm -r {tmp_path / 'out' / 'anna'}"):
        assert part in said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--dots", "8"], "--dots"),
        (["--person", "../x"], "--person: expected 1 to 60"),
        (["--session", "/"], "--session: expected 1 to 60"),
        (["--port", "70000"], "--port"),
        (["--user", "x.safetensors"], "expected with --model"),
        (["--screen", "none.json"], "no such file"),
        (["--camera", "none.json"], "no such file"),
        (["--finder", "nobody"], "--finder"),
        (["--model", "nobody"], "unknown subnet"),
        (["--model", "gazenas-fast-64-5m", "--smooth", "much"], "--smooth"),
    ],
)
def test_what_is_refused(more: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["collect", str(tmp_path / "out"), "--finder", "tests.faces.people:OneFace", *more]
    assert said in run_bad(words, capsys)


def test_a_port_that_is_taken(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["collect", str(tmp_path / "more"), "--finder", "tests.faces.people:OneFace"]
    assert "--port" in run_bad([*words, "--port", str(site.server.server_port)], capsys)
