"""Settings: where they come from, which wins, and that each bad one is told in one line of its own."""

from pathlib import Path
from typing import Any

import pytest

from rfq.settings import ELSEWHERE, BadSettings, Settings, is_loopback, load, table


def faults(environ: dict[str, str] | None = None, config: Path | None = None, **given: Any) -> list[str]:
    with pytest.raises(BadSettings) as bad:
        load(environ or {}, config, **given)
    lines = str(bad.value).splitlines()
    assert len(lines) == len(bad.value.faults)
    return lines


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sotto.toml"
    path.write_text(text)
    return path


def test_the_defaults_stand_alone() -> None:
    assert load({}) == Settings()
    assert Settings().loopback_only


def test_option_over_environment_over_file_over_default(tmp_path: Path) -> None:
    path = toml(tmp_path, 'port = 1000\nlog_level = "error"\nlease_s = 20')
    settings = load({"SOTTO_PORT": "2000", "SOTTO_LEASE_S": "30", "HOME": "/x"}, path, port=3000, host=None)
    assert (settings.port, settings.lease_s, settings.log_level, settings.host) == (3000, 30.0, "error", "127.0.0.1")


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    path = toml(tmp_path, "port = 1000")
    assert load({"SOTTO_CONFIG": str(path)}).port == 1000


def test_every_bad_value_has_its_line() -> None:
    lines = faults(
        {
            "SOTTO_PORT": "eighty",
            "SOTTO_LEASE_S": "0.5",
            "SOTTO_LOG_LEVEL": "loud",
            "SOTTO_TLS_PROXY": "maybe",
            "SOTTO_HSOT": "x",
        }
    )
    assert lines == [
        "SOTTO_HSOT = '...': is no setting (did you mean SOTTO_HOST?)",
        "SOTTO_LEASE_S = '0.5': must be a number from 1 up to 300",
        "SOTTO_LOG_LEVEL = 'loud': must be one of debug, info, warning, error",
        "SOTTO_PORT = 'eighty': must be a whole number from 0 up to 65535",
        "SOTTO_TLS_PROXY = 'maybe': must be true or false",
    ]


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "", " 5", "1e400", "0x10", "5s"])
def test_odd_numbers(value: str) -> None:
    (line,) = faults({"SOTTO_LEASE_S": value})
    assert line.startswith("SOTTO_LEASE_S")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('port = "80"', "port (sotto.toml) = '80': must be a whole number"),
        ("log_level = 3", "log_level (sotto.toml) = 3: must be one of"),
        ("prot = 80", "prot (sotto.toml) = 80: is no setting (did you mean port?)"),
        ("[http]\nport = 80", "http (sotto.toml)"),
        ("port = ", "must be TOML"),
    ],
)
def test_a_bad_file(tmp_path: Path, text: str, line: str) -> None:
    (told,) = faults({}, toml(tmp_path, text))
    assert line in told


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (line,) = faults({}, tmp_path / "none.toml")
    assert "must be a readable file" in line


def test_a_bad_option() -> None:
    assert faults({}, port=70_000) == ["--port = 70000: must be a whole number from 0 up to 65535"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "sotto.example"])
def test_beyond_loopback_needs_tls_or_a_declared_proxy(host: str, tmp_path: Path) -> None:
    (line,) = faults({"SOTTO_HOST": host})
    assert line.startswith(f"host = {host!r}: is beyond loopback")
    assert load({"SOTTO_HOST": host, "SOTTO_TLS_PROXY": "true"}).tls_proxy
    for name in ("cert", "key"):
        (tmp_path / name).write_text("PEM")
    given = {"SOTTO_TLS_CERT": str(tmp_path / "cert"), "SOTTO_TLS_KEY": str(tmp_path / "key")}
    assert load({"SOTTO_HOST": host} | given).host == host
    assert any("tls_key" in line for line in faults({"SOTTO_TLS_CERT": given["SOTTO_TLS_CERT"]}))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    ("environ", "start"),
    [
        ({"SOTTO_TLS_CERT": "/none", "SOTTO_TLS_KEY": "/none"}, "tls_cert = '/none': must be a readable file"),
        ({"SOTTO_KEYS_FILE": "/none"}, "keys_file = '/none': must be a readable file"),
        ({"SOTTO_INSTRUMENTS": "/none"}, "instruments = '/none': must be a readable file"),
        ({"SOTTO_SLICER": "/none"}, "slicer = '/none': must be a readable file"),
        ({"SOTTO_MODELS_DIR": "/none"}, "models_dir = '/none': must be a directory"),
        ({"SOTTO_EXCHANGE_HOST": "0.0.0.0"}, "exchange_host = '0.0.0.0': must be loopback"),
        ({"SOTTO_PORT": "8081"}, "exchange_port = 8081: must differ from port"),
    ],
)
def test_rules_across_values(environ: dict[str, str], start: str) -> None:
    assert faults(environ)[0].startswith(start)


def test_the_databases_password_is_never_shown() -> None:
    settings = load({"SOTTO_DATABASE_URL": "postgresql://me:s3cret@db.example/sotto"})
    assert settings.shown()["database_url"] == "postgresql://***@db.example/sotto"
    assert "s3cret" not in "\n".join(faults({"SOTTO_DATABASE_URL": "mysql://me:s3cret@db/sotto"}))


def test_the_table_has_every_setting_with_its_meaning() -> None:
    rows = {row[0]: row for row in table()}
    assert set(rows) == {f"SOTTO_{name.upper()}" for name in Settings.__struct_fields__}
    assert not set(rows) & ELSEWHERE
    assert all(rule and meaning for _, _, rule, meaning in rows.values())
    assert rows["SOTTO_TLS_PROXY"][1] == "false"
