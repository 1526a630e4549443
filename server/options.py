"""Flags, environment variables and YAML keys, derived from the fields of Settings.

    field http_port  ->  --http-port  ·  PERCEIVER_HTTP_PORT  ·  http_port: in the YAML file

click knows where each value came from; pydantic checks it; the errors name both.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click
import yaml
from click.core import ParameterSource
from pydantic import ByteSize, ValidationError

from server.config import PREFIX, Settings, variables

Command = TypeVar("Command", bound=Callable[..., Any])
OTHER_VARIABLES = tuple(PREFIX + name for name in ("CONFIG", "SERVER", "GRPC_SERVER"))


class ConfigError(click.ClickException):
    """The configuration cannot be used; the sentence says which value and why."""

    exit_code = 2


class _AsGiven(click.ParamType[Any]):
    """Passes a value on untouched: pydantic converts and checks it, whatever its source."""

    name = "value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value


def settings_options(command: Command) -> Command:
    """Gives a click command one option per field of Settings, and `--config FILE.yaml`."""
    for name, field in reversed(Settings.model_fields.items()):
        flag = flag_of(name)
        boolean = field.annotation is bool
        command = click.option(
            f"{flag}/--no-{flag[2:]}" if boolean else flag,
            name,
            type=click.BOOL if boolean else _AsGiven(),
            default=field.default if boolean else None,
            envvar=PREFIX + name.upper(),
            help=f"{field.description}{_default_text(name)}",
            metavar=None if boolean else _metavar(field.annotation),
        )(command)
    return click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        envvar=PREFIX + "CONFIG",
        is_eager=True,
        expose_value=False,
        callback=_read_config_file,
        help="YAML file with any of the keys below (http_port: 8000).",
    )(command)


def flag_of(name: str) -> str:
    """`http_port` -> `--http-port`."""
    return "--" + name.replace("_", "-")


def settings_of(ctx: click.Context) -> Settings:
    """The Settings that the context's options add up to; ConfigError where they do not."""
    given = {
        name: ctx.params[name]
        for name in Settings.model_fields
        if source_of(ctx, name) != "default"
    }
    try:
        return Settings(**given)
    except ValidationError as error:
        raise ConfigError("\n".join(_sentence(ctx, dict(e)) for e in error.errors())) from None


def warn_of_unknown_variables() -> None:
    """One line on stderr for each variable that has our prefix and that nobody here reads."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {*OTHER_VARIABLES}
    for name in variables():
        if name not in known:
            nearest = _nearest(name.removeprefix(PREFIX))
            click.echo(
                f"Warning: {name} is no setting; the nearest is {PREFIX}{nearest.upper()}", err=True
            )


def source_of(ctx: click.Context, name: str) -> str:
    """Where a value came from, as a person would say it."""
    match ctx.get_parameter_source(name):
        case ParameterSource.COMMANDLINE:
            return flag_of(name)
        case ParameterSource.ENVIRONMENT:
            return PREFIX + name.upper()
        case ParameterSource.DEFAULT_MAP:
            return str(ctx.find_root().meta.get("config_file", "the configuration file"))
        case _:
            return "default"


def effective_values(ctx: click.Context, settings: Settings) -> str:
    """The table of `perceiver-server config`: valid YAML, with the source of each value behind."""
    values = {name: _plain(getattr(settings, name)) for name in Settings.model_fields}
    lines = {name: yaml_line(name, value) for name, value in values.items()}
    width = min(48, max(map(len, lines.values())))
    return "\n".join(f"{line:<{width}}  # {source_of(ctx, name)}" for name, line in lines.items())


def yaml_line(name: str, value: object) -> str:
    """One key of flow-style YAML, on one line."""
    dumped: str = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return f"{name}: {dumped.removesuffix('...' + chr(10)).strip()}"


def _plain(value: object) -> object:
    """A value as YAML writes it."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, ByteSize):
        return value.human_readable(separator="") if _round_trips(value) else int(value)
    return value


def _round_trips(size: ByteSize) -> bool:
    """True where the readable form is exact: 48.0MiB is, 1.1KiB may not be."""
    for factor in (1024**4, 1024**3, 1024**2, 1024):
        if size >= factor:
            return size * 10 % factor == 0
    return False


def _default_text(name: str) -> str:
    default = _plain(Settings.model_fields[name].get_default(call_default_factory=True))
    return "" if default in (None, {}, False) else f"  [default: {default}]"


def _read_config_file(ctx: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Makes the file's keys click's defaults, so that environment and flags win over them."""
    if path is None:
        return
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"cannot read {str(path)!r}: {reason}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{str(path)!r} is not valid YAML: {error}") from None
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigError(f"{str(path)!r} must map keys to values, like `http_port: 8000`")
    for key in values:
        if key not in Settings.model_fields:
            raise ConfigError(
                f"{str(path)!r}: unknown key {key!r}; the nearest valid key is "
                f"{_nearest(str(key))!r}"
            )
    ctx.find_root().meta["config_file"] = str(path)
    ctx.default_map = {key: value for key, value in values.items() if value is not None}


def _nearest(key: str) -> str:
    """The setting whose name is most like `key`."""
    return difflib.get_close_matches(key.replace("-", "_").lower(), Settings.model_fields, 1, 0)[0]


def _metavar(annotation: Any) -> str:
    """`[fast|reference]` where the type names the words."""
    return f"[{'|'.join(get_args(annotation))}]" if get_origin(annotation) is Literal else "VALUE"


def _sentence(ctx: click.Context, error: dict[str, Any]) -> str:
    """One pydantic error as one line: where the value came from, the value, the rule."""
    reason = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return reason
    name = str(error["loc"][0])
    if error["type"] == "string_pattern_mismatch":
        reason = f"{Settings.model_fields[name].description}"
    if error["type"].startswith("byte_size"):
        reason += "; for example 4GiB"
    source = source_of(ctx, name)
    return f"{name} from {source} is {error['input']!r}: {reason[:1].lower()}{reason[1:]}"
