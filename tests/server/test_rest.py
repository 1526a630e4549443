"""REST v1 as its users meet it: shapes, headers, carriers of images, foreign clients."""

import asyncio
import base64
import io
import json
import re
from typing import Any

import httpx
import pytest
from huggingface_hub import InferenceClient
from PIL import Image

from server.rest.doors import DOORS
from server.rest.uploads import decode_base64
from tests.live_server import LiveServer, received
from tests.server.pictures import encoded

PNG = encoded("PNG")


def labels(answer: list[dict[str, Any]]) -> list[str]:
    assert all(set(entry) == {"label", "score"} for entry in answer)
    scores = [entry["score"] for entry in answer]
    assert scores == sorted(scores, reverse=True)
    return [entry["label"] for entry in answer]


def spans(answer: list[dict[str, Any]]) -> int:
    """How many candidates one span has got, each of the contract's shape."""
    keys = {"sequence", "score", "token", "token_str", "tokens"}
    assert all(set(entry) == keys for entry in answer)
    return len(answer)


def ask(live: LiveServer, task: str, inputs: Any, **parameters: Any) -> Any:
    response = live.post(task, json={"inputs": inputs, "parameters": parameters})
    assert response.status_code == 200, response.text
    return response.json()


def test_text_classification_is_one_inner_list_per_string(live: LiveServer) -> None:
    one = ask(live, "text-classification", "hello")
    assert len(one) == 1
    assert len(labels(one[0])) == 5
    both = ask(live, "text-classification", ["hello", "you"], top_k=2)
    assert [len(labels(inner)) for inner in both] == [2, 2]
    assert both[0] == one[0][:2]


def test_function_to_apply_changes_the_scores(live: LiveServer) -> None:
    softmax, sigmoid, logits = (
        ask(live, "text-classification", "hello", function_to_apply=name)[0]
        for name in ("softmax", "sigmoid", "none")
    )
    assert sum(entry["score"] for entry in softmax) == pytest.approx(1)
    assert all(0 <= entry["score"] <= 1 for entry in sigmoid)
    assert labels(softmax) == labels(sigmoid) == labels(logits)


def test_fill_mask_has_the_shape_of_the_question(live: LiveServer) -> None:
    assert spans(ask(live, "fill-mask", "a [MASK]")) == 5
    assert [spans(s) for s in ask(live, "fill-mask", "[MASK] a [MASK][MASK]")] == [5, 5]
    strings = ask(live, "fill-mask", ["[MASK]", "[MASK] [MASK]"], top_k=2)
    assert spans(strings[0]) == 2
    assert [spans(s) for s in strings[1]] == [2, 2]
    assert spans(ask(live, "fill-mask", ["[MASK]"])[0]) == 5


def test_fill_mask_scores_targets(live: LiveServer) -> None:
    answer = ask(live, "fill-mask", "a [MASK][MASK]", targets=["xy", "é"])
    assert {entry["token_str"] for entry in answer} == {"xy", "é"}


def test_an_image_may_come_in_many_ways(live: LiveServer) -> None:
    text = base64.b64encode(PNG).decode()
    task = "image-classification"
    first = live.post(task, content=PNG)
    assert len(labels(first.json())) == 5
    ways: list[dict[str, Any]] = [
        {"content": PNG, "headers": {"Content-Type": kind}}
        for kind in (
            "image/png",
            "application/json",
            "application/x-www-form-urlencoded",
            "nonsense",
        )
    ]
    ways += [{"json": {"inputs": inputs}} for inputs in (text, f"data:image/png;base64,{text}")]
    wrapped = base64.encodebytes(PNG).decode()
    ways += [
        {"content": json.dumps({"inputs": wrapped}), "headers": {"Content-Type": "text/plain"}},
        {"files": {"file": PNG}},
        {"files": {"file": ("a.gif", PNG, "image/gif")}, "data": {"parameters": "null"}},
        {"files": {"file": PNG, "parameters": ("p", b'{"top_k": null}', "application/json")}},
    ]
    for way in ways:
        assert live.post(task, **way).json() == first.json(), way


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (64, 48)])
def test_images_of_any_size_work(live: LiveServer, kind: str, size: tuple[int, int]) -> None:
    response = live.post("image-classification", content=encoded(kind, size))
    assert len(labels(response.json())) == 5


@pytest.mark.parametrize("size", [1, 2, 3, 262_143, 262_144, 262_145, 1_000_000])
def test_base64_is_decoded_exactly(size: int) -> None:
    data = bytes(n % 251 for n in range(size))
    assert decode_base64(base64.b64encode(data).decode()) == data
    assert decode_base64(base64.encodebytes(data).decode()) == data


def test_parameters_of_an_image_ride_in_json_and_in_a_form(live: LiveServer) -> None:
    parameters = {"top_k": 2, "function_to_apply": "sigmoid"}
    as_json = {"inputs": base64.b64encode(PNG).decode(), "parameters": parameters}
    first = live.post("image-classification", json=as_json).json()
    form = {"data": {"parameters": json.dumps(parameters)}, "files": {"file": PNG}}
    assert len(first) == 2
    assert live.post("image-classification", **form).json() == first


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"parameters": None},
        {"parameters": {}},
        {"parameters": {"top_k": None, "function_to_apply": None}},
        {"options": {"wait_for_model": True}},
        {"model": None},
        {"model": "text"},
    ],
)
def test_what_is_null_or_ignored_changes_nothing(live: LiveServer, extra: dict[str, Any]) -> None:
    plain = live.post("text-classification", json={"inputs": "hello"}).json()
    assert live.post("text-classification", json={"inputs": "hello", **extra}).json() == plain


def test_the_last_of_duplicate_keys_counts(live: LiveServer) -> None:
    body = b'{"inputs": "a", "inputs": "hello"}'
    plain = live.post("text-classification", json={"inputs": "hello"}).json()
    assert live.post("text-classification", content=body).json() == plain


def test_nul_is_text(live: LiveServer) -> None:
    assert len(ask(live, "text-classification", "a\0b")) == 1


def test_a_model_is_named_by_the_query_or_the_body(live: LiveServer) -> None:
    body = {"inputs": "hello"}
    by_query = live.post("text-classification?model=text", json=body)
    by_both = live.post("text-classification?model=text", json={**body, "model": "text"})
    assert by_query.json() == by_both.json()
    assert by_query.headers["X-Model"] == "text"
    assert live.post("image-classification?model=image", content=PNG).status_code == 200
    other = live.post("text-classification?model=text", json={**body, "model": "x"})
    assert (other.status_code, other.json()["code"]) == (422, "invalid_input")


def test_headers_say_what_happened(live: LiveServer) -> None:
    headers = live.post("text-classification", json={"inputs": ["a", "b"]}).headers
    assert headers["X-Batch-Size"] == "2"
    timings = re.findall(r"(\w+);dur=\d+\.\d+", headers["Server-Timing"])
    assert timings == ["decode", "queue", "compute", "encode"]
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [("abc-1", True), ("x" * 128, True), ("x" * 129, False), ("a\tb", False), ("é", False)],
)
def test_a_sane_request_id_is_echoed(live: LiveServer, sent: str, echoed: bool) -> None:
    for path in ("/livez", "/nowhere"):
        headers = {b"X-Request-Id": sent.encode("latin-1")}
        answered = live.http.get(path, headers=headers).headers["X-Request-Id"]
        assert (answered == sent) is echoed
        assert answered


def test_every_example_answers(live: LiveServer) -> None:
    tasks = live.http.get("/v1/tasks").json()
    assert [task["task"] for task in tasks] == list(DOORS)
    for task in tasks:
        assert live.http.post(task["path"], json=task["example"]).status_code == 200
        assert live.url in task["curl"]


def test_every_page_answers(live: LiveServer) -> None:
    for page in live.http.get("/").json()["see"]:
        assert live.http.get(page).status_code == 200, page


def test_models_and_limits_are_listed(live: LiveServer) -> None:
    models = {model["name"]: model for model in live.http.get("/v1/models").json()["models"]}
    assert models["text"]["task"] == "text-classification"
    assert models["text"]["state"] == "loaded"
    limits = live.http.get("/limits").json()
    assert limits["max_pixels"] == 25_000_000
    assert limits["max_text_body_bytes"] == 4 * 1024**2


def test_metrics_are_prometheus_and_add_up(live: LiveServer) -> None:
    assert live.http.get("/metrics").headers["Content-Type"].startswith("text/plain; version=0.0.4")
    before = live.metric("requests_total", model="text", protocol="rest", outcome="completed")
    ask(live, "text-classification", "hello")
    after = live.metric("requests_total", model="text", protocol="rest", outcome="completed")
    assert after == before + 1
    sums = live.conservation()
    received = sums.pop("perceiver_received_total")
    assert received == sums.total()


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        found = [node["$ref"]] if "$ref" in node else []
        return found + [ref for value in node.values() for ref in references(value)]
    return [ref for value in node for ref in references(value)] if isinstance(node, list) else []


def test_the_openapi_document_is_complete(live: LiveServer) -> None:
    document = live.http.get("/openapi.json").json()
    for door in DOORS.values():
        operation = document["paths"][door.path]["post"]
        content = operation["requestBody"]["content"]
        assert content["application/json"]["example"] == door.example
        assert set(door.media) <= set(content)
        form = content.get("multipart/form-data", {"schema": {"required": []}})
        assert form["schema"]["required"] == [*door.parts]
        assert [*operation["responses"]["200"]["content"]] == [*door.forms]
        assert {"200", "400", "406", "413", "422", "429", "503"} <= set(operation["responses"])
    for path in ("/readyz", "/health"):
        assert "503" in document["paths"][path]["get"]["responses"]
    for reference in references(document):
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_the_docs_need_no_other_host(live: LiveServer) -> None:
    page = live.http.get("/docs").text
    assert "<script" not in page
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page)
    assert all(door.path in page for door in DOORS.values())
    assert all(kind in page for door in DOORS.values() for kind in door.forms)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "unknown_path"),
        ("POST", "/v1/fill-mask/", 404, "unknown_path"),
        ("GET", "/v1/fill-mask", 405, "wrong_method"),
        ("DELETE", "/livez", 405, "wrong_method"),
        ("POST", "/v1/translation", 404, "unknown_task"),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404, "unknown_path"),
        ("GET", "/%00", 404, "unknown_path"),
    ],
)
def test_what_is_not_there_is_said_in_json(
    live: LiveServer, method: str, path: str, status: int, code: str
) -> None:
    response = live.http.request(method, path)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert set(response.json()) == {"error", "code"}
    assert ("Allow" in response.headers) is (status == 405)


def test_what_never_reached_the_engine_is_counted_apart(live: LiveServer) -> None:
    received = live.metric("received_total")
    refused = live.metric("refused_total", protocol="rest", code="malformed")
    live.post("fill-mask", content=b"{")
    assert live.metric("refused_total", protocol="rest", code="malformed") == refused + 1
    assert live.metric("received_total") == received


@pytest.mark.parametrize(
    "timeout",
    [
        *("0", "-1", "1.5", "x", "300001", "9" * 99, "", "１"),
        *("0000000001" + "0" * 5000, "0000000001" + "9" * 10),
    ],
)
def test_a_deadline_must_be_a_number_within_the_limit(live: LiveServer, timeout: str) -> None:
    headers = {b"X-Timeout-Ms": timeout.encode()}
    response = live.post("text-classification", json={"inputs": "a"}, headers=headers)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_input")
    assert "300000" in response.json()["error"]


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("text/html", 406),
        ("image/png, text/*;q=0.5", 406),
        ("application/json;q=0", 406),
        ("application/json; q=0.000, text/csv", 406),
        ("x" * 5000, 406),
        ("text/html, */*;q=0.1", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/*", 200),
        ("", 200),
        (",", 200),
    ],
)
def test_who_does_not_take_json_is_told(live: LiveServer, accept: str, status: int) -> None:
    body = {"inputs": "a"}
    response = live.post("text-classification", json=body, headers={"Accept": accept})
    assert response.status_code == status
    if status == 406:
        assert response.json()["code"] == "not_acceptable"
        assert "application/json" in response.json()["error"]


def test_a_deadline_is_kept(live: LiveServer) -> None:
    expired = live.metric("requests_total", outcome="expired")
    with live.holding():
        response = live.post(
            "text-classification", json={"inputs": "held"}, headers={"X-Timeout-Ms": "200"}
        )
    assert (response.status_code, response.json()["code"]) == (504, "deadline")
    assert live.metric("requests_total", outcome="expired") == expired + 1


def request_bytes(body: dict[str, Any], *headers: str) -> bytes:
    content = json.dumps(body).encode()
    head = ["POST /v1/text-classification HTTP/1.1", "Host: x", f"Content-Length: {len(content)}"]
    return "\r\n".join([*head, *headers, "", ""]).encode() + content


def test_a_client_that_hangs_up_is_not_computed_for(live: LiveServer) -> None:
    ask(live, "text-classification", "behind whatever else is on the device")
    cancelled = live.metric("requests_total", outcome="cancelled")
    computed = live.metric("items_computed_total")
    completed = live.metric("requests_total", outcome="completed")
    with live.socket() as first:
        with live.holding():
            first.sendall(request_bytes({"inputs": "held"}))
            live.await_metric("in_flight", 1)
            with live.socket() as second:
                second.sendall(request_bytes({"inputs": "never computed"}))
                live.await_metric("queued", 1)
            live.await_metric("requests_total", cancelled + 1, outcome="cancelled")
        assert b"200 OK" in first.recv(100)
    live.await_metric("requests_total", completed + 1, outcome="completed")
    assert live.metric("items_computed_total") == computed + 1
    assert live.metric("refused_total", code="cancelled") == 0


def test_a_client_may_ask_before_it_sends(live: LiveServer) -> None:
    head, _, content = request_bytes({"inputs": "a"}, "Expect: 100-continue").partition(b"\r\n\r\n")
    with live.socket() as sock:
        sock.sendall(head + b"\r\n\r\n")
        assert received(sock, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(content)
        assert b"200 OK" in received(sock, b"]]")


def test_a_connection_serves_again_after_an_error(live: LiveServer) -> None:
    with live.socket() as sock:
        sock.sendall(request_bytes({"inputs": 1}))
        assert b"422" in received(sock, b"}")
        sock.sendall(request_bytes({"inputs": "a"}))
        assert b"200 OK" in received(sock, b"]]")


def test_requests_may_be_pipelined(live: LiveServer) -> None:
    with live.socket() as sock:
        sock.sendall(request_bytes({"inputs": "a"}) * 5)
        data = b""
        while data.count(b"200 OK") < 5:
            data += sock.recv(65536)


def test_the_hugging_face_client_works_unmodified(live: LiveServer) -> None:
    def client(task: str) -> Any:
        return InferenceClient(model=f"{live.url}/v1/{task}", token="ignored")

    assert len(client("fill-mask").fill_mask("a [MASK] b")) == 5
    assert client("fill-mask").fill_mask("a [MASK] b", targets=["x"])[0].sequence == "a x b"
    text = client("text-classification")
    assert len(text.text_classification("hello")) == 5
    assert len(text.text_classification("hello", top_k=2, function_to_apply="sigmoid")) == 2
    image = client("image-classification")
    assert len(image.image_classification(PNG)) == 5
    assert len(image.image_classification(PNG, top_k=2)) == 2


def test_a_picture_stands_upright_whatever_the_camera_said(live: LiveServer) -> None:
    image = Image.open(io.BytesIO(PNG))
    exif = Image.Exif()
    exif[0x0112] = 8
    turned = io.BytesIO()
    image.transpose(Image.Transpose.ROTATE_270).save(turned, "PNG", exif=exif)
    first = live.post("image-classification", content=PNG)
    assert live.post("image-classification", content=turned.getvalue()).json() == first.json()


async def test_many_callers_get_their_own_answers(live: LiveServer) -> None:
    texts = [f"text number {n}" for n in range(40)]
    expected = [ask(live, "text-classification", text) for text in texts]
    async with httpx.AsyncClient(base_url=live.url, timeout=60) as client:
        responses = await asyncio.gather(
            *(client.post("/v1/text-classification", json={"inputs": text}) for text in texts)
        )
    assert [response.json() for response in responses] == expected
