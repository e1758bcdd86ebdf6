"""Every setting, its bounds and its default; read from a TOML file and the environment, checked once at start."""

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from rfq.domain.errors import BadInput, PeerFault

PREFIX = "SOTTO_"
CONFIG = "SOTTO_CONFIG"
ELSEWHERE = frozenset({CONFIG, "SOTTO_DATA", "SOTTO_REQUIRE_DATA", "SOTTO_KEY", "SOTTO_URL", "SOTTO_CODE_VERSION"})
"""Variables of ours that are not settings of the service: the file itself, recorded data, a client's key and URL, and
what cards and reports call the code."""

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One flat table. `SOTTO_<NAME>` in the environment wins over `<name>` in the file, which wins over the default."""

    # The HTTP edge.
    host: Annotated[str, Meta(min_length=1, description="Address to listen on")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="HTTP and dealer WebSocket port; 0 takes a free one")] = 8080
    tls_cert: Annotated[Path | None, Meta(description="PEM certificate chain to serve TLS with")] = None
    tls_key: Annotated[Path | None, Meta(description="PEM private key of tls_cert")] = None
    tls_proxy: Annotated[bool, Meta(description="A proxy in front terminates TLS; needed beyond loopback")] = False
    http_connections: Annotated[Count, Meta(description="Connections served at once; more get a 503")] = 2000
    request_timeout_s: Annotated[Seconds, Meta(description="Longest a request may take, its body included")] = 10.0
    body_bytes: Annotated[int, Meta(ge=1024, le=10_000_000, description="Largest request body")] = 65_536
    event_streams: Annotated[Count, Meta(description="Server-sent event streams open at once")] = 256
    event_heartbeat_s: Annotated[Seconds, Meta(description="Silence on an event stream before a comment")] = 10.0
    key_cache_s: Annotated[Seconds, Meta(description="How long a checked API key is believed")] = 5.0
    key_grace_s: Annotated[Seconds, Meta(description="How long it is believed while the database is away")] = 900.0
    keys_file: Annotated[Path | None, Meta(description="TOML of callers and keys, added at start if missing")] = None

    # Storage.
    data_dir: Annotated[Path | None, Meta(description="Embedded database and its files; default: user data home")] = (
        None
    )
    database_url: Annotated[str | None, Meta(description="postgresql:// URL of your own server; default: embedded")] = (
        None
    )
    database_connections: Annotated[int, Meta(ge=2, le=100, description="Size of the connection pool")] = 8
    lease_s: Annotated[
        float, Meta(ge=1, le=300, description="How long an RFQ stays owned by an engine that went silent")
    ] = 10.0

    # Logs.
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Least level written")] = "info"
    log_format: Annotated[Literal["json", "console"], Meta(description="One JSON object a line, or for people")] = (
        "json"
    )

    # The engine.
    open_rfqs: Annotated[Count, Meta(description="RFQs not over at one time, all desks together")] = 2000
    lift_timeout_s: Annotated[Seconds, Meta(description="Wait for a firm dealer's confirmation before asking")] = 5.0
    unknown_limit_s: Annotated[
        Seconds, Meta(description="How long a lift may stay unknown before a person is asked")
    ] = 60.0
    market_stale_s: Annotated[Seconds, Meta(description="Age of a book, in market seconds, that refuses new RFQs")] = (
        30.0
    )
    regulatory_dealers: Annotated[
        int, Meta(ge=0, le=10, description="Dealers that a rule demands to be asked, as 3; 0: none does")
    ] = 0
    leakage_budget_bps: Annotated[
        float, Meta(ge=0, le=1000, description="Most leakage expected of all asked together; 0: no bound")
    ] = 0.0
    exploration: Annotated[
        Literal["slots", "thompson"], Meta(description="How the choice of dealers is randomised, a little and logged")
    ] = "slots"
    exploration_budget_bps: Annotated[
        float, Meta(ge=0, le=100, description="Most that a set drawn by thompson may be expected to cost over the best")
    ] = 0.15
    wave_decision_s: Annotated[
        float, Meta(gt=0, le=60, description="Longest wait for the models to decide on a wave; then a rule does")
    ] = 0.5
    models_dir: Annotated[Path | None, Meta(description="Trained models; default: those in the package")] = None
    slicer: Annotated[Path | None, Meta(description="Weights of the slicer; default: those in the package")] = None

    # Dealers.
    dealer_open_requests: Annotated[Count, Meta(description="Requests one dealer may have open")] = 200
    dealer_outbox: Annotated[Count, Meta(description="Messages waiting for one dealer before its line is closed")] = (
        2000
    )
    dealer_send_s: Annotated[Seconds, Meta(description="Longest one send to a dealer may take")] = 5.0
    dealer_heartbeat_s: Annotated[Seconds, Meta(description="Heartbeat interval on a dealer's line")] = 5.0

    # The simulated market.
    simulation_seed: Annotated[int, Meta(ge=0, le=2**63 - 1, description="Seed of the simulated market")] = 1
    simulation_speed: Annotated[
        float, Meta(ge=1, le=1000, description="Market seconds per second, outside auctions")
    ] = 1.0
    venue_latency_s: Annotated[
        float, Meta(ge=0, le=60, description="Market time that orders take to the simulated or recorded venues")
    ] = 0.01
    instruments: Annotated[Path | None, Meta(description="TOML file of instruments; default: six of our own")] = None
    replay_book: Annotated[
        Path | None, Meta(description="LOBSTER zip, or zip of quotes (NBBO), to play instead of the simulated market")
    ] = None
    replay_trades: Annotated[Path | None, Meta(description="Zip of the trades, where replay_book is one of quotes")] = (
        None
    )
    replay_from_s: Annotated[float, Meta(ge=0, le=86_400, description="Seconds into the recording to begin at")] = 0.0
    simulated_dealers: Annotated[
        bool, Meta(description="Keys for a simulated fleet, and a socket where it sees the market and trades")
    ] = True
    exchange_host: Annotated[str, Meta(min_length=1, description="Address of the simulated exchange's socket")] = (
        "127.0.0.1"
    )
    exchange_port: Annotated[Port, Meta(description="Its port; 0 takes a free one")] = 8081

    @property
    def loopback_only(self) -> bool:
        return is_loopback(self.host)

    def shown(self) -> dict[str, str]:
        """Name -> value as text, the database's password left out: for a log line at start."""
        values = {name: str(getattr(self, name)) for name in self.__struct_fields__}
        if self.database_url and "@" in self.database_url:
            values["database_url"] = "postgresql://***@" + self.database_url.rpartition("@")[2]
        return values


class BadSettings(PeerFault):
    """The service cannot start with these settings. One line for each bad value, naming field, value and rule."""

    def __init__(self, faults: list[BadInput]) -> None:
        super().__init__("\n".join(f"{f.field} = {f.value!r}: {f.rule}" for f in faults))
        self.faults = tuple(faults)


def load(environ: Mapping[str, str] | None = None, config: Path | None = None, **given: object) -> Settings:
    """Reads file, environment and `given` (the command line's own options), the later winning. Raises BadSettings.

    `config` is the file; without it SOTTO_CONFIG names one, and without that there is none. A `given` None
    is not given.
    """
    environ = os.environ if environ is None else environ
    faults: list[BadInput] = []
    raw: dict[str, object] = {}
    sources = (_from_file(environ, config, faults), _from_environment(environ, faults), _from_options(given))
    for name, value, label, lax in chain.from_iterable(sources):
        try:
            raw[name] = msgspec.convert(value, type=_type(name), strict=not lax, dec_hook=_path)
        except msgspec.ValidationError:
            shown = "***" if name == "database_url" else value
            faults.append(BadInput(label, shown, "must be " + rule(_type(name))))
    settings = Settings(**raw)  # type: ignore[arg-type]
    faults.extend(_across(settings))
    if faults:
        raise BadSettings(faults)
    return settings


def table() -> list[tuple[str, str, str, str]]:
    """Rows of (variable, default, rule, meaning): the configuration table of the documentation."""
    rows: list[tuple[str, str, str, str]] = []
    for field in msgspec.structs.fields(Settings):
        default = "" if field.default is None else str(field.default)
        default = default.lower() if isinstance(field.default, bool) else default
        rows.append((PREFIX + field.name.upper(), default, rule(field.type), _meaning(field.type)))
    return rows


def is_loopback(host: str) -> bool:
    """True for 'localhost' and loopback addresses. A name that we would have to look up is not."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _from_file(
    environ: Mapping[str, str], config: Path | None, faults: list[BadInput]
) -> Iterator[tuple[str, object, str, bool]]:
    path = config or (Path(environ[CONFIG]) if environ.get(CONFIG) else None)
    if path is None:
        return
    try:
        values: dict[str, object] = tomllib.loads(path.read_text())
    except OSError as error:
        faults.append(BadInput(CONFIG, str(path), f"must be a readable file ({error.strerror})"))
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.append(BadInput(CONFIG, str(path), f"must be TOML ({error})"))
        return
    for name, value in values.items():
        if name in Settings.__struct_fields__:
            yield name, value, f"{name} ({path.name})", False
        else:
            faults.append(BadInput(f"{name} ({path.name})", value, _unknown(name, Settings.__struct_fields__)))


def _from_environment(environ: Mapping[str, str], faults: list[BadInput]) -> Iterator[tuple[str, object, str, bool]]:
    known = {PREFIX + name.upper(): name for name in Settings.__struct_fields__}
    for variable in sorted(v for v in environ if v.startswith(PREFIX) and v not in ELSEWHERE):
        if (name := known.get(variable)) is not None:
            yield name, environ[variable], variable, True
        else:
            faults.append(BadInput(variable, "...", _unknown(variable, tuple(known))))


def _from_options(given: Mapping[str, object]) -> Iterator[tuple[str, object, str, bool]]:
    for name, value in given.items():
        if value is not None:
            yield name, str(value) if isinstance(value, Path) else value, "--" + name.replace("_", "-"), True


def _unknown(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"is no setting (did you mean {near[0]}?)" if near else "is no setting"


def _across(s: Settings) -> Iterator[BadInput]:
    """Rules that no single value shows."""
    if (s.tls_cert is None) != (s.tls_key is None):
        missing = "tls_key" if s.tls_key is None else "tls_cert"
        yield BadInput(missing, None, "is needed beside the other of tls_cert and tls_key")
    for name in ("tls_cert", "tls_key", "instruments", "keys_file", "replay_book", "replay_trades", "slicer"):
        path: Path | None = getattr(s, name)
        if path is not None and not (path.is_file() and os.access(path, os.R_OK)):
            yield BadInput(name, str(path), "must be a readable file")
    if s.replay_trades is not None and s.replay_book is None:
        yield BadInput("replay_trades", str(s.replay_trades), "needs replay_book, the quotes of the same day")
    if s.models_dir is not None and not s.models_dir.is_dir():
        yield BadInput("models_dir", str(s.models_dir), "must be a directory")
    if not s.loopback_only and s.tls_cert is None and not s.tls_proxy:
        rule = "is beyond loopback: give tls_cert and tls_key, or tls_proxy = true if a proxy terminates TLS"
        yield BadInput("host", s.host, rule)
    if not is_loopback(s.exchange_host):
        yield BadInput("exchange_host", s.exchange_host, "must be loopback: the simulated exchange has no TLS")
    if s.port and s.port == s.exchange_port:
        yield BadInput("exchange_port", s.exchange_port, "must differ from port")
    if s.database_url is not None and not s.database_url.startswith(("postgresql://", "postgres://")):
        yield BadInput("database_url", "***", "must begin with postgresql://")


def _type(name: str) -> Any:
    return next(field.type for field in msgspec.structs.fields(Settings) if field.name == name)


def _path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str) and value:
        return Path(value).expanduser()
    raise ValueError("not a path")


def _unwrap(kind: Any) -> tuple[Any, list[Meta]]:
    """The bare type under Annotated, and all its bounds."""
    bounds: list[Meta] = []
    while get_origin(kind) is Annotated:
        bare, *extra = get_args(kind)
        bounds += [meta for meta in extra if isinstance(meta, Meta)]
        kind = bare
    return kind, bounds


def _meaning(kind: Any) -> str:
    return next((meta.description for meta in _unwrap(kind)[1] if meta.description), "")


def rule(kind: Any) -> str:
    """What a value of this annotated type must be, in words."""
    bare, bounds = _unwrap(kind)
    if get_origin(bare) is Literal:
        return "one of " + ", ".join(get_args(bare))
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
    options = [option for option in get_args(bare) if option is not type(None)] or [bare]
    words = names[options[0]]
    for attribute, text in (("ge", "from"), ("gt", "above"), ("le", "up to"), ("lt", "below")):
        words += "".join(f" {text} {bound}" for b in bounds if (bound := getattr(b, attribute)) is not None)
    return words
