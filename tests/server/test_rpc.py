"""The gRPC door as its users meet it: the answers of REST bit for bit, metadata, reflection."""

import base64
import re
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from protos.perceiver.v1 import perceiver_pb2 as pb
from server.rpc.streams import STREAMS
from server.rpc.tasks import RPCS, SERVICE
from tests.live_server import LiveServer
from tests.server.pictures import encoded
from tests.server.rpc_calls import (
    IMAGE,
    MASK,
    TEXT,
    call,
    channel_to,
    method,
    method_of,
    of_error,
    trailers,
)


@pytest.fixture(scope="module")
def channel(live: LiveServer) -> Any:
    with channel_to(live) as channel:
        yield channel


def labels(message: Any) -> list[dict[str, Any]]:
    return [{"label": one.label, "score": one.score} for one in message.labels]


def fills(message: Any) -> list[dict[str, Any]]:
    names = ("sequence", "score", "token", "token_str")
    return [
        {name: getattr(one, name) for name in names} | {"tokens": list(one.tokens)}
        for one in message.fills
    ]


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({}, {}),
        ({"top_k": 2}, {"top_k": 2}),
        ({"function_to_apply": 0}, {"function_to_apply": "softmax"}),
        ({"function_to_apply": 1}, {"function_to_apply": "softmax"}),
        ({"function_to_apply": 2}, {"function_to_apply": "sigmoid"}),
        ({"function_to_apply": 3, "top_k": 1}, {"function_to_apply": "none", "top_k": 1}),
    ],
)
def test_labels_have_the_bits_of_rest(
    live: LiveServer, channel: Any, options: dict[str, Any], parameters: dict[str, Any]
) -> None:
    texts = ["hello", "Grüße an alle", "\0 [MASK]"]
    rest = live.post("text-classification", json={"inputs": texts, "parameters": parameters})
    answer = call(channel, TEXT(inputs=texts, **options))
    assert [labels(one) for one in answer.results] == rest.json()

    images = [encoded("PNG"), encoded("JPEG", (64, 48)), encoded("WEBP")]
    answer = call(channel, IMAGE(inputs=images, **options))
    for image, result in zip(images, answer.results, strict=True):
        body = {"inputs": base64.b64encode(image).decode(), "parameters": parameters}
        assert labels(result) == live.post("image-classification", json=body).json()


@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"targets": ["xy", "é", "zz"]}])
def test_fillings_have_the_bits_of_rest(
    live: LiveServer, channel: Any, options: dict[str, Any]
) -> None:
    texts = ["a [MASK][MASK] b [MASK][MASK]", "ü[MASK][MASK]"]
    rest = live.post("fill-mask", json={"inputs": texts, "parameters": options}).json()
    two, one = call(channel, MASK(inputs=texts, **options)).results
    assert [fills(span) for span in two.spans] == rest[0]
    assert [fills(span) for span in one.spans] == [rest[1]]
    assert rest[0][0][0]["score"] not in (0.0, 1.0)


def test_a_model_is_named_by_a_field(channel: Any) -> None:
    answer, done = method(channel, "FillMask").with_call(MASK(inputs=["[MASK]"], model="mask"))
    assert trailers(done)["x-model"] == "mask"
    assert answer == call(channel, MASK(inputs=["[MASK]"]))


def test_trailing_metadata_tells_what_it_cost(channel: Any) -> None:
    sent = (("x-request-id", "one of mine"),)
    _, done = method(channel, "TextClassification").with_call(TEXT(inputs=["a"]), metadata=sent)
    found = trailers(done)
    assert found["x-request-id"] == "one of mine"
    assert (found["x-model"], found["x-batch-size"]) == ("text", "1")
    shape = ", ".join(rf"{name};dur=\d+\.\d\d" for name in ("decode", "queue", "compute", "encode"))
    assert re.fullmatch(shape, found["server-timing"])


@pytest.mark.parametrize("sent", [(), (("x-request-id", "a" * 129),), (("x-request-id", ""),)])
def test_an_id_that_is_not_sane_is_replaced(channel: Any, sent: Any) -> None:
    for request in (TEXT(inputs=["a"]), pb.ListModelsRequest()):
        _, done = method(channel, method_of(request)).with_call(request, metadata=sent)
        assert re.fullmatch(r"[0-9a-f]{32}", trailers(done)["x-request-id"])


def plain(message: Any) -> Any:
    """A message as JSON has it."""
    if not hasattr(message, "DESCRIPTOR"):
        return message
    return {
        name: None
        if field.has_presence and not message.HasField(name)
        else plain(getattr(message, name))
        for name, field in message.DESCRIPTOR.fields_by_name.items()
    }


def test_the_models_are_those_of_rest(live: LiveServer, channel: Any) -> None:
    models = [plain(model) for model in call(channel, pb.ListModelsRequest()).models]
    assert models == live.http.get("/v1/models").json()["models"]
    assert any(model["problem"] for model in models)
    assert any(model["format"] for model in models)


def test_every_rpc_of_the_proto_is_served() -> None:
    methods = pb.DESCRIPTOR.services_by_name["Perceiver"].methods_by_name
    assert {rpc.name for rpc in (*RPCS, *STREAMS)} | {"ListModels"} == set(methods)
    for rpc in RPCS:
        assert rpc.request.DESCRIPTOR is methods[rpc.name].input_type
        assert rpc.response is getattr(pb, methods[rpc.name].output_type.name)
        assert rpc.name == "".join(word.title() for word in rpc.task.split("-"))
    for row in STREAMS:
        assert row.message.DESCRIPTOR is methods[row.name].input_type
        assert row.answer is getattr(pb, methods[row.name].output_type.name)
        assert row.name == "Stream" + "".join(word.title() for word in row.task.split("-"))


@pytest.mark.parametrize("name", ["/perceiver.v1.Perceiver/Nothing", "/nobody/Asks"])
def test_an_unknown_method_is_unimplemented(live: LiveServer, channel: Any, name: str) -> None:
    counted = live.metric("refused_total", protocol="grpc", code="wrong_method")
    with pytest.raises(grpc.RpcError) as error:
        channel.unary_unary(name)(b"")
    status, code, sentence = of_error(error.value)
    assert (status, code) == ("UNIMPLEMENTED", "wrong_method")
    assert sentence == f"there is no RPC {name!r}: reflection lists what there is"
    assert live.metric("refused_total", protocol="grpc", code="wrong_method") == counted + 1


def test_reflection_describes_every_service(channel: Any) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)

    def ask(**what: str) -> Any:
        request = reflection_pb2.ServerReflectionRequest(**what)
        return next(stub.ServerReflectionInfo(iter([request])))

    services = {one.name for one in ask(list_services="").list_services_response.service}
    health, reflection = "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"
    assert services == {SERVICE, health, reflection}
    for service in services:
        assert ask(file_containing_symbol=service).file_descriptor_response.file_descriptor_proto


@pytest.mark.parametrize("encoding", [pb.FLOW_ENCODING_FLO, pb.FLOW_ENCODING_PNG])
def test_a_field_has_the_bits_of_rest(live: LiveServer, channel: Any, encoding: Any) -> None:
    frames = [encoded("PNG"), encoded("JPEG")]
    images = [pb.Image(file=frame) for frame in frames]
    options = pb.FlowOptions(stride=2, encoding=encoding)
    request = pb.OpticalFlowRequest(
        options=options, inputs=[pb.FramePair(frame1=images[0], frame2=images[1])]
    )
    kinds = {
        pb.FLOW_ENCODING_FLO: "application/octet-stream",
        pb.FLOW_ENCODING_PNG: "image/png",
    }
    inputs = {
        f"frame{n}": base64.b64encode(frame).decode() for n, frame in enumerate(frames, start=1)
    }
    rest = live.post(
        "optical-flow",
        json={"inputs": inputs, "parameters": {"stride": 2}},
        headers={"accept": kinds[encoding]},
    )
    assert rest.status_code == 200, rest.text
    assert call(channel, request).results[0].data == rest.content


def test_the_limits_are_told(live: LiveServer) -> None:
    limits = live.http.get("/limits").json()
    assert limits["max_message_bytes"] == 64 * 1024**2
    assert limits["max_streams"] == 100
    assert limits["answer_characters"] == 16 * 1024**2
    assert (limits["max_seconds"], limits["max_frames"], limits["stream_window"]) == (60, 2000, 8)


def test_calls_are_counted_as_grpc(live: LiveServer, channel: Any) -> None:
    before = live.metric("requests_total", protocol="grpc", outcome="completed")
    call(channel, TEXT(inputs=["a"]))
    assert live.metric("requests_total", protocol="grpc", outcome="completed") == before + 1
