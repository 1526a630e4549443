"""What bad input gets: a clear 4xx within a second, and a server as healthy as before."""

import asyncio
import base64
import io
import json
import random
import re
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.datastructures import Headers

from server.errors import Fault
from server.rest import parse
from server.rest.doors import IMAGE as IMAGE_UPLOAD
from server.rest.parse import MAX_ELEMENTS, parse_json
from server.rest.schemas import (
    FillMaskRequest,
    ImageClassificationRequest,
    TextClassificationRequest,
)
from server.rest.uploads import read_upload
from tests.live_server import LiveServer
from tests.server.clips import clip
from tests.server.pictures import encoded

TEXT, MASK, IMAGE = "text-classification", "fill-mask", "image-classification"
MIB = 1024 * 1024
PNG = encoded("PNG")
JPEG = encoded("JPEG", (200, 200))
VIDEO = clip()


@pytest.fixture(autouse=True)
def healthy(live: LiveServer) -> Iterator[None]:
    """The same question before and after; no child has died."""
    question = {"inputs": "still there?"}
    before = live.post(TEXT, json=question).json()
    image = live.post(IMAGE, content=PNG).json()
    yield
    assert live.post(TEXT, json=question).json() == before
    assert live.post(IMAGE, content=PNG).json() == image
    assert live.metric("worker_restarts_total") == 0
    assert "has ended" not in live.log()
    sums = live.conservation()
    assert sums.pop("perceiver_received_total") == sums.total()


def cpu_seconds(live: LiveServer) -> float:
    """What the server and its children have computed for: waiting for a busy machine is no work."""
    front = psutil.Process(live.process.pid)
    times = [process.cpu_times() for process in (front, *front.children())]
    return sum(spent.user + spent.system for spent in times)


def refused(live: LiveServer, task: str, status: int, code: str, **request: Any) -> str:
    """Posts, and returns the sentence of the error."""
    before = cpu_seconds(live)
    response = live.post(task, **request)
    assert cpu_seconds(live) - before < 1
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert set(response.json()) == {"error", "code"}
    sentence: str = response.json()["error"]
    assert 10 < len(sentence) < 400
    for leak in ("Traceback", "pydantic", "0x", "site-packages", "/tmp/", "PIL", "Error("):  # noqa: S108
        assert leak not in sentence
    return sentence


def bomb(width: int, height: int) -> bytes:
    """A PNG of zeros that is small as a file only."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = zlib.compressobj(9)
    pixels = b"".join(rows.compress(bytes(width // 8 + 1)) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("task", [TEXT, MASK, IMAGE])
def test_an_empty_body(live: LiveServer, task: str) -> None:
    assert "empty" in refused(live, task, 400, "malformed", content=b"")


@pytest.mark.parametrize("task", [TEXT, MASK, IMAGE])
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"inputs": "a"} x',
        b'{"inputs": "\xff"}',
        rb'{"inputs": "\ud800"}',
        b"{'inputs': 'a'}",
        b'{"inputs": ' + b"[" * 10_000,
        b'{"a":' * 10_000,
        b'{"inputs": NaN',
        b'{"inputs": 00}',
    ],
)
def test_what_is_no_json(live: LiveServer, task: str, body: bytes) -> None:
    refused(live, task, 400, "malformed", content=body)


@pytest.mark.parametrize(
    "number",
    [10**6 + 1, 2**63, 2**64, 10**400, -1, -(2**63) - 1],
    ids=["1e6+1", "2^63", "2^64", "1e400", "-1", "-2^63-1"],
)
@pytest.mark.parametrize(
    ("task", "name"),
    [
        *((task, "top_k") for task in (TEXT, MASK, IMAGE, "multimodal-autoencoding")),
        *(("optical-flow", name) for name in ("stride", "region")),
    ],
)
def test_numbers_that_no_field_takes(live: LiveServer, task: str, name: str, number: int) -> None:
    file = base64.b64encode(VIDEO if task.startswith("multi") else PNG).decode()
    inputs: Any = {TEXT: "a", MASK: "[MASK]"}.get(task, file)
    if task == "optical-flow":
        inputs = {"frame1": file, "frame2": file}
    for place in range(4 if name == "region" else 1):
        region = [1] * place + [number] + [1] * (3 - place)
        parameters = {name: region if name == "region" else number}
        body = {"inputs": inputs, "parameters": parameters}
        said = refused(live, task, 422, "invalid_input", json=body)
        assert f"parameters.{name}{f'[{place}]' if name == 'region' else ''} is " in said


@pytest.mark.parametrize("task", [TEXT, MASK, IMAGE])
@pytest.mark.parametrize(
    ("body", "part"),
    [
        ("[]", "must be an object"),
        ('"a"', "must be an object"),
        ("null", "must be an object"),
        ("{}", "inputs is missing"),
        ('{"input": "a"}', "input"),
        ('{"inputs": 3}', "inputs must be a string"),
        ('{"inputs": null}', "but is null"),
        ('{"inputs": {"text": "a"}}', "but is an object"),
        ('{"inputs": 1e999}', "inputs must be a string"),
        ('{"inputs": "a", "parameters": []}', "parameters must be an object, but is a list"),
        ('{"inputs": "a", "parameters": {"top_k": "3"}}', "top_k must be a whole number"),
        ('{"inputs": "a", "parameters": {"top_k": 2.5}}', "top_k must be a whole number"),
        ('{"inputs": "a", "parameters": {"top_k": true}}', "but is true or false"),
        ('{"inputs": "a", "parameters": {"top_k": 1e999}}', "parameters.top_k must be"),
        ('{"inputs": "a", "parameters": {"top_k": 0}}', "top_k is 0, but must be at least 1"),
        ('{"inputs": "a", "parameters": {"top_k": -1}}', "at least 1"),
        ('{"inputs": "a", "parameters": {"top_k": 1' + "0" * 30 + "}}", "at most"),
        ('{"inputs": "a", "parameters": {"top_k": 1' + "0" * 5000 + "}}", "parameters.top_k"),
        ('{"inputs": "a", "parameters": {"topk": 3}}', "unknown key 'topk' in parameters"),
        ('{"inputs": "a", "parameter": {}}', "unknown key 'parameter'"),
        ('{"inputs": "a", "model": 3}', "model must be a string"),
    ],
)  # fmt: skip
def test_json_of_the_wrong_kind(live: LiveServer, task: str, body: str, part: str) -> None:
    # A number so long that it is no number to the parser is not JSON to it either.
    too_long = len(body) > 5000
    status, code = (400, "malformed") if too_long else (422, "invalid_input")
    sentence = refused(
        live, task, status, code, content=body, headers={"Content-Type": "application/json"}
    )
    assert too_long or part in sentence


@pytest.mark.parametrize(
    ("task", "body", "part"),
    [
        (TEXT, {"inputs": []}, "empty list"),
        (TEXT, {"inputs": ["a", 3]}, "inputs[1] must be a string, but is a whole number"),
        (TEXT, {"inputs": ["a", None]}, "inputs[1] must be a string, but is null"),
        (TEXT, {"inputs": [["a"]]}, "inputs[0] must be a string, but is a list"),
        (TEXT, {"inputs": ""}, "empty"),
        (TEXT, {"inputs": ["a", ""]}, "inputs[1]"),
        (TEXT, {"inputs": "a", "parameters": {"top_k": 6}}, "1 to 5"),
        (TEXT, {"inputs": "a", "parameters": {"function_to_apply": "tanh"}}, "'tanh'"),
        (TEXT, {"inputs": "a", "parameters": {"targets": []}}, "targets"),
        (TEXT, {"inputs": "é" * 200}, "400 bytes"),
        (TEXT, {"inputs": "x" * 3_000_000}, "3000000 bytes"),
        (MASK, {"inputs": "nothing to fill"}, "no [MASK]"),
        (MASK, {"inputs": ["[MASK]", "nothing"]}, "inputs[1]"),
        (MASK, {"inputs": "[MASK]" * 10_000}, "10000"),
        (MASK, {"inputs": "[MASK]" * 65}, "64"),
        (MASK, {"inputs": "[MASK]", "parameters": {"top_k": 101}}, "1 to 100"),
        (MASK, {"inputs": "[MASK]", "parameters": {"targets": "a"}}, "targets must be a list"),
        (MASK, {"inputs": "[MASK]", "parameters": {"targets": []}}, "targets"),
        (MASK, {"inputs": "[MASK]", "parameters": {"targets": ["ab"]}}, "2 bytes"),
        (IMAGE, {"inputs": ["a"]}, "inputs must be a string, but is a list"),
        (IMAGE, {"inputs": "not base64!"}, "base64"),
        (IMAGE, {"inputs": "YWJ"}, "base64"),
        (IMAGE, {"inputs": "YQ==YQ=="}, "base64"),
        (IMAGE, {"inputs": "YW-_"}, "base64"),
        (IMAGE, {"inputs": "é" * 4}, "base64"),
        (IMAGE, {"inputs": "http://127.0.0.1:1/a.png"}, "fetches none"),
        (IMAGE, {"inputs": "https://example.org/a.png"}, "fetches none"),
        (IMAGE, {"inputs": "file:///etc/passwd"}, "fetches none"),
        (IMAGE, {"inputs": "data:image/png,abc"}, "base64"),
        (IMAGE, {"inputs": "data:image/png;base64"}, "base64"),
        (IMAGE, {"inputs": base64.b64encode(PNG).decode(), "parameters": {"top_k": 6}}, "1 to 5"),
    ],
)  # fmt: skip
def test_what_is_parsed_but_invalid(
    live: LiveServer, task: str, body: dict[str, Any], part: str
) -> None:
    assert part in refused(live, task, 422, "invalid_input", json=body)


def test_more_inputs_than_one_request_may_have(live: LiveServer) -> None:
    assert "128" in refused(live, TEXT, 413, "too_large", json={"inputs": ["a"] * 129})


def test_a_small_question_gets_no_huge_answer(live: LiveServer) -> None:
    texts = ["[MASK] " * 60] * 16
    parameters: dict[str, Any] = {"top_k": 100}
    body = {"inputs": texts, "parameters": parameters}
    assert "the answer would be" in refused(live, MASK, 413, "too_large", json=body)
    parameters |= {"top_k": 1, "targets": ["a"] * 100}
    refused(live, MASK, 413, "too_large", json=body)


def test_more_elements_than_json_may_have(live: LiveServer) -> None:
    body = b'{"inputs": [' + b"1," * MAX_ELEMENTS + b"1]}"
    refused(live, TEXT, 413, "too_large", content=body)


def test_many_keys(live: LiveServer) -> None:
    keys = ",".join(f'"{n}":0' for n in range(300_000))
    assert len(keys) < 4 * MIB
    sentence = refused(live, TEXT, 413, "too_large", content="{" + keys + "}")
    assert "elements" in sentence
    keys = ",".join(f'"{n}":0' for n in range(30_000))
    assert "30001 mistakes" in refused(live, TEXT, 422, "invalid_input", content="{" + keys + "}")


HOSTILE = [b'"",', b'\\",', b",", b'""', b'",,,"', b"[", b"{"]


@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.parametrize("start", [b"", b'{"inputs": "', b'{"a": [",' + b"," * MAX_ELEMENTS])
async def test_hostile_json_is_refused_for_little(unit: bytes, start: bytes) -> None:
    """CPU time, so that a busy machine cannot fail it; unbounded it was 2 to 20 s."""
    body = start + unit * (47 * MIB // len(unit))
    began = time.process_time()
    with pytest.raises(Fault) as caught:
        await parse_json(body, ImageClassificationRequest)
    assert time.process_time() - began < 1.5
    assert caught.value.code in ("too_large", "malformed")


@pytest.mark.parametrize("megabytes", [12, 47])
@pytest.mark.parametrize("unit", [b'"",', b'\\",'])
def test_a_large_hostile_body_is_refused_at_once(
    live: LiveServer, unit: bytes, megabytes: int
) -> None:
    body = b'{"inputs": [' + unit * (megabytes * MIB // len(unit))
    kind = {"Content-Type": "application/json"}
    sentence = refused(live, IMAGE, 413, "too_large", content=body, headers=kind)
    assert "elements" in sentence


TRICKY = st.text(st.sampled_from('a\\",[{é'))
NESTED = st.recursive(
    TRICKY, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TRICKY, inner, max_size=4)
)


@given(NESTED, st.integers(1, 9), st.integers(0, 9))
def test_elements_are_counted_outside_of_strings(value: Any, step: int, limit: int) -> None:
    body = json.dumps(value, ensure_ascii=False).encode()
    outside = re.sub(rb'"(?:[^"\\]|\\.)*"', b"", body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parse, "_STEP", step)
        patch.setattr(parse, "MAX_ELEMENTS", limit)
        assert parse.over_the_limit(body) is (parse.elements(outside) > limit)


def test_commas_in_a_text_are_no_elements(live: LiveServer) -> None:
    assert live.post(TEXT, json={"inputs": [',[{"\\' * 50] * 120}).status_code == 200
    commas = {"inputs": ",[{" * 50_000}
    assert "150000 bytes" in refused(live, TEXT, 422, "invalid_input", json=commas)
    refused(live, TEXT, 413, "too_large", content=b"," * 50_000 + rb"\"" * 10**6)


@pytest.mark.parametrize("length", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_image_is_never_half_a_picture(
    live: LiveServer, kind: str, length: float
) -> None:
    data = encoded(kind, (200, 200))
    part = data[: int(len(data) * length)]
    assert "ends too early" in refused(live, IMAGE, 422, "invalid_input", content=part)


@pytest.mark.parametrize("data", [bomb(30_000, 30_000), bomb(30_000, 30_000)[:40]])
def test_a_huge_image_is_refused_from_its_header(live: LiveServer, data: bytes) -> None:
    assert "900000000" in refused(live, IMAGE, 413, "too_large", content=data)


def test_one_pixel_over_the_limit(live: LiveServer) -> None:
    assert live.post(IMAGE, content=bomb(5000, 5000)).status_code == 200
    refused(live, IMAGE, 413, "too_large", content=bomb(5001, 5000))


DISGUISED = {
    "a GIF": encoded("GIF"),
    "a TIFF": encoded("TIFF"),
    "a PDF": encoded("PDF"),
    "a BMP": encoded("BMP"),
    "an SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='http://127.0.0.1:1/'/></svg>",
    "a ZIP": b"PK\x03\x04" + JPEG,
    "HEIF": b"\0\0\0\x18ftypheic" + bytes(99),
    "not a JPEG": b"\0" + JPEG,
    "JPEG, PNG or WebP": b"just text",
}


@pytest.mark.parametrize("name", DISGUISED)
def test_other_formats_dressed_as_jpeg(live: LiveServer, name: str) -> None:
    data = DISGUISED[name]
    code = "unsupported_media_type"
    headers = {"Content-Type": "image/jpeg"}
    assert name in refused(live, IMAGE, 415, code, content=data, headers=headers)
    as_json = {"inputs": "data:image/jpeg;base64," + base64.b64encode(data).decode()}
    assert name in refused(live, IMAGE, 415, code, json=as_json)
    assert name in refused(live, IMAGE, 415, code, files={"file": ("a.jpg", data, "image/jpeg")})


BY_CURL = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("image", [JPEG, PNG, encoded("WEBP")])
def test_an_image_that_curl_has_stripped(live: LiveServer, image: bytes) -> None:
    assert live.post(IMAGE, content=image, headers=BY_CURL).status_code == 200
    as_text = image.translate(None, b"\0\r\n")  # what `curl -d @FILE` sends
    said = refused(live, IMAGE, 415, "unsupported_media_type", content=as_text, headers=BY_CURL)
    assert said.endswith("own bytes (curl: --data-binary @FILE, not -d)")


def test_what_curl_is_not_to_blame_for(live: LiveServer) -> None:
    text = base64.b64encode(b"just text").decode()
    for body in (b"GIF89a", json.dumps({"inputs": text}).encode()):
        said = refused(live, IMAGE, 415, "unsupported_media_type", content=body, headers=BY_CURL)
        assert "curl" not in said


@pytest.mark.parametrize("start", [JPEG[:20], PNG[:24], b"RIFF\xff\xff\xff\xffWEBPVP8 "])
def test_a_signature_alone_is_no_picture(live: LiveServer, start: bytes) -> None:
    for tail in (b"", bytes(1000), b"%PDF-1.7" * 100):
        refused(live, IMAGE, 422, "invalid_input", content=start + tail)


FORM = {"Content-Type": "multipart/form-data; boundary=b"}


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    extra = "" if filename is None else f'; filename="{filename}"'
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'
    return head.encode() + value + b"\r\n"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"--b--\r\n", 422),
        (b"no boundary at all", 400),
        (b"\r\n" * 100_000, 400),
        (part("file", PNG, "a.png"), 400),  # no end
        (part("file", b"", "a.png") + b"--b--", 422),
        (part("image", PNG, "a.png") + b"--b--", 422),
        (part("file", PNG, "a.png") + part("x", b"1") + b"--b--", 422),
        (part("file", PNG, "a.png") * 2 + b"--b--", 400),
        (part("x", b"1") * 50_000 + b"--b--", 400),
        (part("file", PNG, "a.png") + part("parameters", b"{") + b"--b--", 400),
        (part("file", PNG, "a.png") + part("parameters", b"[1]") + b"--b--", 422),
        (part("file", PNG, "a.png") + part("parameters", b'{"top": 1}') + b"--b--", 422),
        (b'--b\r\nContent-Disposition: form-data; filename="a"\r\n\r\nx\r\n--b--', 400),
        (b"--b\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n\r\n--b--", 400),
    ],
)
def test_broken_forms(live: LiveServer, body: bytes, status: int) -> None:
    code = {400: "malformed", 422: "invalid_input"}[status]
    refused(live, IMAGE, status, code, content=body, headers=FORM)


def test_a_form_without_a_boundary(live: LiveServer) -> None:
    headers = {"Content-Type": "multipart/form-data"}
    refused(live, IMAGE, 400, "malformed", content=part("file", PNG), headers=headers)


def test_a_file_name_is_just_a_name(live: LiveServer, model_repository: Path) -> None:
    name = f"../../../../{model_repository}/written"
    body = part("file", PNG, name) + b"--b--"
    assert live.post(IMAGE, content=body, headers=FORM).status_code == 200
    assert not (model_repository / "written").exists()


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "x"])
def test_compressed_bodies_are_not_read(live: LiveServer, encoding: str) -> None:
    headers = {"Content-Encoding": encoding}
    refused(live, TEXT, 415, "unsupported_media_type", content=b"\x1f\x8b", headers=headers)


def sent_until_answered(live: LiveServer, head: str, chunk: bytes, total: int) -> tuple[int, bytes]:
    """Bytes of body that were sent before the answer came, and the answer."""
    with live.socket() as sock:
        sock.sendall(head.replace("\n", "\r\n").encode())
        sock.setblocking(False)
        sent = 0
        while sent < total:
            try:
                answer = sock.recv(4096)
                sock.setblocking(True)
                while chunk_ := sock.recv(4096):
                    answer += chunk_
                return sent, answer
            except BlockingIOError:
                pass
            try:
                sent += sock.send(chunk[sent % len(chunk) :])
            except BlockingIOError:
                continue
    raise AssertionError("it took it all")


@pytest.mark.parametrize(("task", "limit"), [(TEXT, 4 * MIB), (IMAGE, 48 * MIB)])
def test_sixty_megabytes_are_refused_from_their_header(
    live: LiveServer, task: str, limit: int
) -> None:
    head = f"POST /v1/{task} HTTP/1.1\nHost: x\nContent-Length: {60 * MIB}\n\n"
    sent, answer = sent_until_answered(live, head, bytes(1024), 60 * MIB)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert str(limit).encode() in answer
    assert b"connection: close" in answer.lower()
    assert sent < 8 * MIB  # what the kernel's buffers took meanwhile


def test_a_body_of_unknown_length_is_cut_at_the_limit(live: LiveServer) -> None:
    head = f"POST /v1/{TEXT} HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n"
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    sent, answer = sent_until_answered(live, head, chunk, 60 * MIB)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert 4 * MIB < sent < 16 * MIB


def test_an_ordinary_client_reads_the_answer_to_its_sixty_megabytes(live: LiveServer) -> None:
    response = live.post(IMAGE, content=bytes(60 * MIB))  # however long he takes to send them
    assert (response.status_code, response.json()["code"]) == (413, "too_large")


def test_who_asks_first_is_told_before_he_sends(live: LiveServer) -> None:
    with live.socket() as sock:
        sock.sendall(
            b"POST /v1/fill-mask HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Content-Length: 60000000\r\n\r\n"
        )
        assert sock.recv(4096).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("nobody", 404, "unknown_model"),
        ("mask", 404, "unknown_model"),
        ("../../etc", 404, "unknown_model"),
        ("x" * 10_000, 404, "unknown_model"),
        ("a\r\nb\0", 404, "unknown_model"),
        ("language-perceiver", 404, "unknown_model"),
        ("truncated", 503, "load_failed"),
        ("disguised", 503, "load_failed"),
        ("pickled", 503, "load_failed"),
    ],
)
def test_models_that_cannot_answer(
    live: LiveServer, model_repository: Path, model: str, status: int, code: str
) -> None:
    for request in (
        {"json": {"inputs": "a", "model": model}},
        {"json": {"inputs": "a"}, "params": {"model": model}},
    ):
        sentence = refused(live, TEXT, status, code, **request)
        assert str(model_repository) not in sentence
    assert not (model_repository / "canary").exists()


def test_a_model_that_is_not_pulled(live: LiveServer) -> None:
    body = {"inputs": "[MASK]", "model": "language-perceiver"}
    assert "perceiver-server pull language-perceiver" in refused(
        live, MASK, 404, "model_not_pulled", json=body
    )


def test_a_load_that_failed_says_when_to_come_back(live: LiveServer) -> None:
    response = live.post(TEXT, json={"inputs": "a", "model": "truncated"})
    assert int(response.headers["Retry-After"]) >= 1
    models = {model["name"]: model for model in live.http.get("/v1/models").json()["models"]}
    assert models["truncated"]["problem"]
    assert models["pickled"]["problem"]


def test_unknown_query_parameters_are_named(live: LiveServer) -> None:
    sentence = refused(live, IMAGE, 422, "invalid_input", content=PNG, params={"top_k": "3"})
    assert "top_k" in sentence
    twice = [("model", "a"), ("model", "b")]
    refused(live, IMAGE, 422, "invalid_input", content=PNG, params=twice)


SCHEMAS = (TextClassificationRequest, FillMaskRequest, ImageClassificationRequest)
KEYS = st.sampled_from(["inputs", "parameters", "top_k", "model", "options", "targets", "one"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("[MASK]"),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(), inner, max_size=5)
    ),
)
BODIES = st.binary() | VALUES.map(lambda value: json.dumps(value).encode())


@given(BODIES, st.sampled_from(SCHEMAS))
@settings(max_examples=500)
def test_any_body_is_parsed_or_refused_in_one_sentence(body: bytes, schema: Any) -> None:
    try:
        assert isinstance(asyncio.run(parse_json(body, schema)), schema)
    except Fault as fault:
        problem = fault
    else:
        return
    assert problem.code in ("malformed", "invalid_input", "too_large")
    assert 10 < len(problem.message) < 400
    assert "pydantic" not in problem.message
    assert problem.message.isprintable()


TYPES = st.none() | st.text(st.characters(codec="latin-1")) | st.sampled_from(
    ["application/json", "multipart/form-data; boundary=b", "image/png", "multipart/form-data"]
)  # fmt: skip
FORMS = st.lists(
    st.builds(part, st.sampled_from(["file", "parameters", "é"]), BODIES, st.none() | st.just("f")),
    max_size=3,
).map(lambda parts: b"".join(parts) + b"--b--\r\n")


@given(TYPES, BODIES | FORMS)
@settings(max_examples=300)
def test_any_image_request_is_an_image_or_refused(kind: str | None, body: bytes) -> None:
    headers = Headers({} if kind is None else {"content-type": kind})
    codes = ("malformed", "invalid_input", "too_large", "unsupported_media_type")
    try:
        asyncio.run(read_upload(headers, body, IMAGE_UPLOAD))
    except Fault as fault:
        assert fault.code in codes  # noqa: PT017


@pytest.mark.parametrize(
    ("text", "status", "code"), [("", 422, "invalid_input"), ("~raise~", 500, "internal")]
)
def test_a_failure_is_one_line_of_log_without_what_was_sent(
    live: LiveServer, text: str, status: int, code: str
) -> None:
    name = f"log-test-{status}"
    body = {"inputs": [f"private {text}", text]}
    response = live.post(TEXT, json=body, headers={"X-Request-Id": name})
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert [line for line in live.log().splitlines() if f"{name}: {status} {code}" in line]
    assert "private" not in live.log()
    assert "Error" not in response.text


def test_every_png_prefix_is_answered(live: LiveServer) -> None:
    image = io.BytesIO()
    Image.frombytes("L", (64, 64), random.Random(0).randbytes(64 * 64)).save(image, "PNG")
    data = image.getvalue()
    for length in range(1, len(data) - 64, len(data) // 32):  # only checksums missing: pixels whole
        assert 400 <= live.post(IMAGE, content=data[:length]).status_code < 500
