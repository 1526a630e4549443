"""Where values come from, and what refuses to start."""

from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from pydantic import ValidationError

from server.cli import main
from server.config import Settings, refuse_unsafe
from server.options import flag_of


def config(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["config", *arguments], env=env)


def values(result: Result) -> dict[str, object]:
    assert result.exit_code == 0, result.output
    parsed: dict[str, object] = yaml.safe_load(result.stdout)
    return parsed


def source(result: Result, name: str) -> str:
    line = next(line for line in result.output.splitlines() if line.startswith(f"{name}:"))
    return line.rpartition("# ")[2]


def test_defaults_are_safe() -> None:
    result = config()
    assert values(result)["host"] == "127.0.0.1"
    assert values(result)["insecure"] is False
    assert {source(result, name) for name in Settings.model_fields} == {"default"}


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "server.yaml"
    file.write_text("http_port: 1\nmax_batch: 1\nmax_queue: 1\n")
    env = {"PERCEIVER_HTTP_PORT": "2", "PERCEIVER_MAX_BATCH": "2"}
    result = config("--config", str(file), "--http-port", "3", env=env)
    read = values(result)
    assert (read["http_port"], read["max_batch"], read["max_queue"]) == (3, 2, 1)
    assert source(result, "http_port") == "--http-port"
    assert source(result, "max_batch") == "PERCEIVER_MAX_BATCH"
    assert source(result, "max_queue") == str(file)
    assert source(result, "threads") == "default"


def test_the_table_can_be_used_as_a_file(tmp_path: Path) -> None:
    first = config("--models", "a=/x,b=/y", "--memory-budget", "3GiB", "--insecure")
    file = tmp_path / "server.yaml"
    file.write_text(first.output)
    again = config("--config", str(file))
    assert values(again) == values(first)
    assert values(again)["models"] == {"a": "/x", "b": "/y"}
    assert source(again, "memory_budget") == str(file)


@pytest.mark.parametrize(
    ("written", "size"),
    [("4GiB", 4 * 1024**3), ("48MiB", 48 * 1024**2), ("1000", 1000), ("2MB", 2_000_000)],
)
def test_sizes_are_read_as_people_write_them(written: str, size: int) -> None:
    assert Settings.model_validate({"memory_budget": written}).memory_budget == size


@pytest.mark.parametrize("key", ["http-port", "http_prot", "HTTP_PORT"])
def test_an_unknown_key_of_the_file_is_named_with_the_nearest_valid_one(
    tmp_path: Path, key: str
) -> None:
    file = tmp_path / "server.yaml"
    file.write_text(f"{key}: 8000\n")
    result = config("--config", str(file))
    assert result.exit_code == 2
    assert f"unknown key {key!r}; the nearest valid key is 'http_port'" in result.output


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "\xff\xfe", "8000"])
def test_a_file_that_is_no_mapping_is_an_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "server.yaml"
    file.write_bytes(text.encode("latin-1"))
    result = config("--config", str(file))
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_a_file_that_is_not_there_is_an_error() -> None:
    result = config("--config", "/nowhere/server.yaml")
    assert result.exit_code == 2
    assert "No such file" in result.output


def test_unknown_variables_are_warned_of_with_the_nearest_valid_one() -> None:
    known = {"PERCEIVER_SERVER": "http://a", "PERCEIVER_CONFIG": "", "PERCEIVER_THREADS": "1"}
    known["PERCEIVER_GRPC_SERVER"] = "grpc://a"
    result = config(env={"PERCEIVER_MAXQUEUE": "5", **known})
    assert values(result)["max_queue"] == 1024
    assert result.stderr == (
        "Warning: PERCEIVER_MAXQUEUE is no setting; the nearest is PERCEIVER_MAX_QUEUE\n"
    )


@pytest.mark.parametrize(
    ("arguments", "env", "part"),
    [
        (["--http-port", "abc"], {}, "http_port from --http-port is 'abc'"),
        ([], {"PERCEIVER_HTTP_PORT": "70000"}, "http_port from PERCEIVER_HTTP_PORT is '70000'"),
        (["--device", "gpu"], {}, "auto, cpu, cuda:N"),
        (["--models", "a"], {}, "NAME=VALUE"),
        (["--memory-budget", "lots"], {}, "for example 4GiB"),
        (["--memory-budget", "4 elephants"], {}, "for example 4GiB"),
        (["--http-port", "1", "--grpc-port", "1"], {}, "are both 1: they must differ"),
        (["--drain-delay-s", "nan"], {}, "drain_delay_s"),
        (["--timeout-ms", "9", "--max-timeout-ms", "8"], {}, "timeout_ms 9 is above"),
        (["--model-repository", "/nowhere"], {}, "is not a directory"),
        (["--numerics", "reference", "--dtype", "bfloat16"], {}, "computes in float32"),
    ],
)
def test_a_bad_value_is_named_with_its_source(
    arguments: list[str], env: dict[str, str], part: str
) -> None:
    result = config(*arguments, env=env)
    assert result.exit_code == 2
    assert part in result.output


def test_both_ports_may_be_picked() -> None:
    assert values(config("--http-port", "0", "--grpc-port", "0"))["grpc_port"] == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5"])  # noqa: S104
def test_an_open_address_needs_insecure(host: str) -> None:
    with pytest.raises(ValueError, match="--insecure") as refused:
        refuse_unsafe(Settings(host=host), "--host")
    assert str(refused.value).startswith(f"host {host!r} (--host) is reachable")
    refuse_unsafe(Settings(host=host, insecure=True), "--host")


def test_a_host_without_an_address_is_unknown() -> None:
    with pytest.raises(ValueError, match=r"^host 'example\.invalid' is unknown"):
        refuse_unsafe(Settings(host="example.invalid"), "--host")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_nothing(host: str) -> None:
    refuse_unsafe(Settings(host=host, fault_plan=Path("plan.yaml")), "--host")


def test_faults_are_injected_on_loopback_only() -> None:
    open_to_all = Settings(host="::", insecure=True, fault_plan=Path("plan.yaml"))
    with pytest.raises(ValueError, match="is not loopback"):
        refuse_unsafe(open_to_all, "--host")


def test_settings_cannot_be_changed_nor_misspelt() -> None:
    with pytest.raises(ValidationError):
        Settings(http_prot=1)  # type: ignore[call-arg]
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.host = "::1"  # type: ignore[misc]


def test_every_field_is_a_documented_flag() -> None:
    text = CliRunner().invoke(main, ["serve", "--help"]).output
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert flag_of(name) in text


def test_the_help_names_the_words_of_a_choice_and_the_other_sources() -> None:
    text = CliRunner().invoke(main, ["serve", "--help"]).output
    for words in ("[auto|float32|bfloat16]", "[fast|reference]", "[debug|info|warning|error]"):
        assert words in text
    assert "PERCEIVER_MAX_QUEUE" in text
    assert "YAML file" in text


def test_the_command_says_what_it_is() -> None:
    assert "REST and gRPC" in CliRunner().invoke(main, ["--help"]).output
    assert version("perceiver-server") in CliRunner().invoke(main, ["--version"]).output
