"""How the server stops, and how long it waits for clients: SIGTERM under load loses nothing."""

import asyncio
import json
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.live_server import LiveServer, received, serving, until
from tests.open_files import open_files
from tests.server.pictures import encoded
from tests.server.test_readiness import child_of, still

TEXT = "/v1/text-classification"
HANG = '[{"on": "forward", "contains": "~hang~", "action": "delay", "seconds": 60}]'


@pytest.fixture
def start(model_repository: Path, fault_plan: Path, defaults: tuple[str, ...]) -> Any:
    """Starts a server of the test's own, with more flags."""

    def start(*flags: str | Path) -> Any:
        given: list[str | Path] = ["--model-repository", model_repository, *defaults, *flags]
        if "--fault-plan" not in flags:
            given += ["--fault-plan", fault_plan]
        return serving(*given)

    return start


@pytest.fixture
def in_background() -> Iterator[Any]:
    with ThreadPoolExecutor(4) as pool:
        yield pool.submit


def ask(url: str, text: str) -> httpx.Response:
    return httpx.post(url + TEXT, json={"inputs": text}, timeout=90)


@contextmanager
def in_hand(server: LiveServer, submit: Any) -> Iterator["Future[httpx.Response]"]:
    """A request that is on the device, until the block ends."""
    assert ask(server.url, "warm").status_code == 200
    with still(child_of(server, "server.worker")):
        pending: Future[httpx.Response] = submit(ask, server.url, "held")
        server.await_metric("in_flight", 1)
        yield pending


async def load(url: str, outcomes: Counter[str], enough: threading.Event) -> None:
    """Sixteen clients that ask without pause until they are told that the server stops."""

    async def client(number: int) -> None:
        image = encoded("JPEG", (64, 64))
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            for round_ in range(10**6):
                try:
                    if round_ % 8 == 7:
                        response = await http.post("/v1/image-classification", content=image)
                    else:
                        inputs = f"client {number} round {round_}"
                        response = await http.post(TEXT, json={"inputs": inputs})
                except httpx.ConnectError:
                    return  # it listens no more: another server would have taken this
                except httpx.TransportError as error:
                    outcomes[f"lost: {error!r}"] += 1
                    return
                outcomes[str(response.status_code)] += 1
                if outcomes["200"] >= 500:
                    enough.set()
                if response.status_code == 503:
                    assert response.json()["code"] == "draining"
                    assert int(response.headers["Retry-After"]) >= 1
                    assert response.headers["Connection"] == "close"
                    return

    await asyncio.gather(*(client(number) for number in range(16)))


def test_a_stop_under_load_loses_nothing(start: Any, in_background: Any) -> None:
    with start() as server:
        outcomes: Counter[str] = Counter()
        enough = threading.Event()
        loading = in_background(lambda: asyncio.run(load(server.url, outcomes, enough)))
        until(lambda: enough.is_set() or loading.done(), "500 answers", 90)
        server.signal()
        loading.result(60)
        assert server.exit_code() == 0
    lost = [outcome for outcome in outcomes if outcome not in ("200", "503")]
    assert lost == []
    assert outcomes["200"] >= 500


def test_what_was_accepted_is_answered_and_what_comes_is_refused(
    start: Any, in_background: Any
) -> None:
    with start() as server:
        with in_hand(server, in_background) as pending:
            server.signal()
            until(lambda: httpx.get(server.url + "/readyz").status_code == 503, "not ready")
            ready = httpx.get(server.url + "/readyz")
            assert ready.json()["code"] == "draining"
            assert httpx.get(server.url + "/livez").headers["Connection"] == "close"
            refused = ask(server.url, "too late")
            assert (refused.status_code, refused.json()["code"]) == (503, "draining")
            assert refused.headers["Connection"] == "close"
            assert not pending.done()
        assert pending.result().status_code == 200
        assert server.exit_code() == 0


def test_what_is_being_decoded_has_been_accepted(start: Any, in_background: Any) -> None:
    image = encoded("PNG")
    with start("--media-timeout-s", "60", "--media-processes", "1") as server:
        path = server.url + "/v1/image-classification"
        assert httpx.post(path, content=image, timeout=60).status_code == 200
        with still(child_of(server, "server.media_child")):
            pending = in_background(httpx.post, path, content=image, timeout=60)
            server.await_metric("queued", 1)
            server.signal()
            until(lambda: httpx.get(server.url + "/readyz").status_code == 503, "not ready")
            assert not pending.done()
        assert pending.result().status_code == 200
        assert server.exit_code() == 0


def test_a_refused_upload_is_not_read_while_stopping(start: Any, in_background: Any) -> None:
    with start() as server:
        with in_hand(server, in_background) as pending:
            server.signal()
            until(lambda: httpx.get(server.url + "/readyz").status_code == 503, "not ready")
            head = f"POST {TEXT} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
            with server.socket() as sock:
                sock.sendall(head.encode())
                assert sock.recv(4096).startswith(b"HTTP/1.1 503 ")
        assert pending.result().status_code == 200


def test_during_the_delay_work_is_still_taken(start: Any) -> None:
    with start("--drain-delay-s", "60") as server:
        assert ask(server.url, "before").headers.get("Connection") != "close"
        server.signal()
        until(lambda: httpx.get(server.url + "/readyz").status_code == 503, "not ready")
        during = ask(server.url, "during")
        assert (during.status_code, during.headers["Connection"]) == (200, "close")
        assert "not ready; serving for 60 s more, then new requests are refused" in server.log()
        server.signal()
        assert server.exit_code(5) in (0, 1)
        assert "stopping now" in server.log()
        assert server.log().endswith("stopped\n")


@pytest.mark.parametrize("second", ["signal", "grace"])
def test_nothing_is_waited_for_for_ever(
    start: Any, in_background: Any, tmp_path: Path, second: str
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(HANG)
    grace = "60" if second == "signal" else "1"
    with start("--fault-plan", plan, "--drain-grace-s", grace) as server:
        assert ask(server.url, "warm").status_code == 200
        pending = in_background(ask, server.url, "~hang~")
        server.await_metric("in_flight", 1)
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert len(children) == 3  # the worker, and two for media
        began = time.monotonic()
        server.signal()
        if second == "signal":
            server.signal(signal.SIGINT)
        answer = pending.result()
        assert (answer.status_code, answer.json()["code"]) in (
            (503, "draining"),
            (503, "worker_died"),
        )
        assert server.exit_code() == 1
        assert time.monotonic() - began < 20  # of a minute
        assert not any(child.is_running() for child in children)


def test_a_stop_waits_for_a_load_and_what_waits_for_it(
    start: Any, in_background: Any
) -> None:  # P2
    with start() as server:
        with still(child_of(server, "server.worker")):
            pending = in_background(ask, server.url, "first")
            until(lambda: b'"loading"' in server.http.get("/v1/models").content, "loading")
            server.signal()
            until(lambda: httpx.get(server.url + "/readyz").status_code == 503, "not ready")
            assert not pending.done()
        assert pending.result().status_code == 200
        assert server.exit_code() == 0


@pytest.mark.parametrize("module", ["server.worker", "server.media_child"])
def test_a_child_that_stands_still_ends_with_the_grace(
    start: Any, in_background: Any, module: str
) -> None:  # P2
    image = encoded("PNG")
    patience = ("--media-timeout-s", "60", "--batch-timeout-s", "60", "--media-processes", "1")
    with start("--drain-grace-s", "1", *patience) as server:
        path = server.url + "/v1/image-classification"
        assert httpx.post(path, content=image, timeout=60).status_code == 200
        children = psutil.Process(server.process.pid).children()
        next(child for child in children if module in child.cmdline()).suspend()
        pending = in_background(httpx.post, path, content=image, timeout=60)
        until(lambda: server.metric("queued") + server.metric("in_flight") == 1, "in hand")
        began = time.monotonic()
        server.signal()
        answer = pending.result()
        assert answer.status_code == 503
        assert answer.json()["code"] in ("draining", "worker_died")
        assert server.exit_code() == 1
        assert time.monotonic() - began < 20  # of a minute
        assert not any(child.is_running() for child in children)


ENDLESS = """
import time
from perceiver_core.pipelines.text_classification import TextClassification
TextClassification.quick = lambda *_: False  # in a thread, then
TextClassification.postprocess = lambda *_: time.sleep(60)
from server.cli import main
main()
"""


def test_the_exit_waits_for_no_thread(
    model_repository: Path, defaults: tuple[str, ...], in_background: Any
) -> None:
    repository = ("--model-repository", model_repository)
    with serving(*repository, *defaults, program=("-c", ENDLESS)) as server:
        answer = in_background(ask, server.url, "postprocessed for a minute")
        until(lambda: server.metric("items_computed_total") == 1, "on its way back")
        began = time.monotonic()
        server.signal()
        server.signal(signal.SIGINT)
        assert server.exit_code(20) == 1
        assert time.monotonic() - began < 20  # of a minute
        with suppress(httpx.TransportError):
            answer.result()


def test_an_idle_connection_does_not_keep_the_server(start: Any) -> None:
    with start() as server:
        assert ask(server.url, "warm").status_code == 200
        with server.socket() as sock:
            sock.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" in received(sock, b"}")
            server.signal(signal.SIGINT)
            assert server.exit_code(5) == 0
            assert sock.recv(4096) == b""


@pytest.fixture(scope="module")
def hasty(
    model_repository: Path, fault_plan: Path, defaults: tuple[str, ...]
) -> Iterator[LiveServer]:
    """A server with little patience."""
    patience = ("--header-timeout-s", "0.5", "--body-timeout-s", "0.5")
    repository = ("--model-repository", model_repository, "--fault-plan", fault_plan)
    with serving(*repository, *patience, *defaults) as server:
        assert ask(server.url, "warm").status_code == 200
        yield server


def seconds_until_closed(sock: socket.socket, trickle: bytes = b"") -> float:
    """How long the other side keeps the connection, while a byte a turn is sent; at most 10."""
    began = time.monotonic()
    sock.settimeout(0.05)
    while time.monotonic() - began < 10:
        try:
            sock.sendall(trickle)
            if sock.recv(4096) == b"":
                break
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            break
    return time.monotonic() - began


def test_a_silent_connection_is_closed(hasty: LiveServer) -> None:
    began = time.monotonic()
    with hasty.socket() as sock:
        assert seconds_until_closed(sock) < 5
    assert time.monotonic() - began > 0.3


@pytest.mark.parametrize("before", [0, 1])
def test_a_trickling_header_is_closed_in_time(hasty: LiveServer, before: int) -> None:
    began = time.monotonic()
    with hasty.socket() as sock:
        for _ in range(before):
            sock.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" in received(sock, b"}")
        sock.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ")
        assert seconds_until_closed(sock, b"x") < 5
    assert time.monotonic() - began > 0.3


def test_an_answer_may_take_longer_than_a_header(hasty: LiveServer) -> None:
    response = ask(hasty.url, "~slow~")
    assert response.status_code == 200
    assert response.elapsed.total_seconds() > 1


def test_a_trickling_header_does_not_end_the_answer_before_it(hasty: LiveServer) -> None:
    body = json.dumps({"inputs": "~slow~"}).encode()
    head = f"POST {TEXT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with hasty.socket() as sock:
        sock.sendall(head + body + b"GET /livez HTTP/1.1\r\nX: ")
        assert b"200 OK" in received(sock, b"]]")
        assert seconds_until_closed(sock, b"x") < 5


def test_a_trickling_body_gets_408(hasty: LiveServer) -> None:
    with hasty.socket() as sock:
        sock.sendall(f"POST {TEXT} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n".encode())
        sock.sendall(b'{"inputs":')
        answer = received(sock, b"}")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"too_slow"' in answer
        assert b"connection: close" in answer
        assert seconds_until_closed(sock) < 5


def leave_unread(server: LiveServer, sock: socket.socket) -> None:
    """Asks for megabytes and reads not one byte; returns when the answer has been computed."""
    body = json.dumps({"inputs": ["[MASK] " * 30] * 12, "parameters": {"top_k": 100}}).encode()
    head = f"POST /v1/fill-mask HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", server.port))
    answered = server.metric("requests_total", outcome="completed", model="mask")
    sock.sendall(head.encode() + body)
    server.await_metric("requests_total", answered + 1, outcome="completed", model="mask")


def other_end(server: LiveServer, sock: socket.socket) -> str:
    """The server's end of a connection, as the kernel names it."""
    process = psutil.Process(server.process.pid)
    address = sock.getsockname()
    fd = next(one.fd for one in process.net_connections("tcp4") if one.raddr == address)
    return str(Path(f"/proc/{process.pid}/fd/{fd}").readlink())


def test_an_answer_that_nobody_reads_is_given_up(hasty: LiveServer) -> None:
    with socket.socket() as sock:
        leave_unread(hasty, sock)
        theirs = other_end(hasty, sock)
        until(lambda: theirs not in open_files(hasty.process.pid), "it is closed", 20)
        sock.settimeout(20)
        data = b"".join(iter(lambda: sock.recv(65536), b""))
        assert data.startswith(b"HTTP/1.1 200 OK")
        length = re.search(rb"content-length: (\d+)", data)
        assert length is not None
        assert len(data) < int(length[1])


def test_a_stop_does_not_wait_for_an_answer_that_nobody_reads(start: Any) -> None:
    with start() as server, socket.socket() as sock:
        leave_unread(server, sock)
        server.signal()
        assert server.exit_code(20) == 0  # the grace and the patience are 30 s


@pytest.mark.parametrize("cut", [0, 1, 40])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_offer_to_upgrade_is_ignored(hasty: LiveServer, chunked: bool, cut: int) -> None:
    body = json.dumps({"inputs": "hello"}).encode()
    framing = f"Content-Length: {len(body)}"
    if chunked:
        framing, body = "Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk"
    request = f"POST {TEXT} HTTP/1.1\r\nHost: x\r\n{offer}\r\n{framing}\r\n\r\n".encode() + body
    middle = request.index(b"\r\n\r\n") + 4 + cut
    with hasty.socket() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(request[:middle])
        assert hasty.http.get("/livez").status_code == 200  # the server's turn
        sock.sendall(request[middle:] + b"GET /livez HTTP/1.1\r\n")  # nothing is read behind it
        answer = b"".join(iter(lambda: sock.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.count(b"HTTP/1.1") == 1
    assert answer.endswith(hasty.post("text-classification", json={"inputs": "hello"}).content)
    with hasty.socket() as sock:
        sock.sendall(f"GET /livez HTTP/1.1\r\nHost: x\r\n{offer}\r\n\r\n".encode())
        assert received(sock, b"}").startswith(b"HTTP/1.1 200 OK")


def test_a_deadline_ends_a_trickling_body(hasty: LiveServer) -> None:
    with hasty.socket() as sock:
        head = (
            f"POST {TEXT} HTTP/1.1\r\nHost: x\r\nX-Timeout-Ms: 100\r\nContent-Length: 99\r\n\r\n{{"
        )
        sock.sendall(head.encode())
        answer = received(sock, b"}")
        assert answer.startswith(b"HTTP/1.1 504 ")  # and no 408: the body's own 0.5 s are not over
        assert b'"deadline"' in answer


@pytest.mark.parametrize("size", [1, 40])
def test_an_endless_header_is_refused(hasty: LiveServer, size: int) -> None:
    line = b"X: %s\r\n" % (b"x" * 64 * size)
    with hasty.socket() as sock:
        sock.sendall(b"GET /livez HTTP/1.1\r\n")
        with suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(100_000 // size):
                sock.sendall(line)
            raise AssertionError("it took it all")
    assert ask(hasty.url, "still there").status_code == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\0\x01",
        b"POST /v1/fill-mask HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Length: 3\r\n\r\nabc",
        b"POST /v1/fill-mask HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"POST /v1/fill-mask HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_json(hasty: LiveServer, data: bytes) -> None:
    with hasty.socket() as sock:
        sock.sendall(data)
        answer = received(sock, b"}")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b'"malformed"' in answer
        assert b"no valid HTTP" in answer
        assert b"\r\nx-request-id: " in answer
    assert ask(hasty.url, "still there").status_code == 200


def test_only_the_loopback_ports_are_open(hasty: LiveServer) -> None:
    process = psutil.Process(hasty.process.pid)
    family = [process, *process.children(recursive=True)]
    listening = {
        (connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
        for member in family
        for connection in member.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    grpc_port = int(hasty.grpc_target.rpartition(":")[2])
    assert listening == {("127.0.0.1", hasty.port), ("127.0.0.1", grpc_port)}
