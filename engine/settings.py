"""Every setting of the engine: typed, frozen, read once. The only file that reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

PREFIX = "ENGINE_"
UNPREFIXED = {
    "DATABASE_URL": "database_url",
    "REDIS_URL": "redis_url",
    "OPENAI_API_KEY": "openai_api_key",
    "OPENAI_BASE_URL": "openai_base_url",
}
SECRET_CHARS_MIN = 32
SECRET_DISTINCT_MIN = 8
"""Different characters. 32 random ones have more of them even where there are only ten to choose from."""
PLACEHOLDERS = (
    "changeme changethis replaceme replacethis placeholder example insecure default secret password passphrase "
    "letmein qwerty randomstring deadbeef abcdefgh 0123456789 1234567890"
).split()
"""What is in secrets that people write or copy, and in one random secret out of ten million."""
LOCAL = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", "::"})

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Limit = Annotated[int, Meta(ge=0)]
Failpoint = Annotated[str, Meta(pattern=r"^[a-z.]+=(kill|raise|pause:\d+(\.\d+)?)(@[1-9]\d*)?$")]


class SettingsError(ValueError):
    """A setting is missing or wrong; the message names the variable and says what to do."""


SECRETS = frozenset(
    "database_url redis_url metrics_token secret_key older_secret_keys smtp_password openai_api_key "
    "openai_second_api_key".split()
)
"""Fields that are never shown. The URLs of the servers have passwords in them."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings. A field `x_y` is read from `ENGINE_X_Y`, but for the four names everyone knows."""

    mode: Literal["development", "production"] = "development"
    data_dir: Path = Path(".data")
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    public_url: str = ""
    """Where browsers reach the engine, e.g. https://interviews.example.org; empty means http://host:port."""
    allowed_origins: tuple[str, ...] = ()
    """Further exact origins (scheme://host[:port]) whose pages may call; the public URL's is always one."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses whose X-Forwarded-For is believed."""
    metrics_token: str = ""
    """Who shows it as a bearer token may read /metrics, which production hides from everybody else."""

    database_url: str = ""
    redis_url: str = ""
    """redis:// or rediss:// for one server, redis+cluster:// or rediss+cluster:// for a cluster (hosts with commas)."""
    postgres_pool_size: Count = 8
    redis_pool_size: Count = 64
    """Connections at most, to each primary of a cluster."""

    secret_key: str = ""
    """At least 32 characters. Signs tokens and keys the hashes of codes; kept outside the database."""
    older_secret_keys: tuple[str, ...] = ()
    """Secrets that sign nothing new and whose tokens and codes are still good, so that a change of the secret logs
    nobody out (engine/identity/README.md)."""
    access_ttl_seconds: Count = 900
    refresh_ttl_seconds: Count = 30 * 86_400
    """How long a login lasts that nobody uses."""
    login_ttl_seconds: Count = 90 * 86_400
    """How long a login lasts however much it is used."""
    google_client_id: str = ""
    google_issuer_url: str = "https://accounts.google.com"
    google_jwks_url: str = "https://www.googleapis.com/oauth2/v3/certs"

    mail_from: str = "interviews@localhost"
    smtp_host: str = ""
    """Empty: mail goes to the console and the development mailbox, which production refuses."""
    smtp_port: Annotated[int, Meta(ge=1, le=65535)] = 587
    smtp_user: str = ""
    smtp_password: str = ""
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"

    packs_dir: Path | None = None
    """More question packs beside those that ship."""
    matcher: Literal["static", "semantic"] = "static"
    """What reads clarifying questions. `semantic` understands more, and takes 180 MB and some 10 ms a question on a
    thread of its own; it is an extra: pip install 'interview-engine[semantic]'."""

    judge: Literal["auto", "openai", "offline"] = "auto"
    """`auto`: openai when there is a key or a base URL, else offline."""
    judge_fallbacks: tuple[Literal["model", "second", "offline", "fail"], ...] = ("offline",)
    """Who is asked when the judge cannot, in this order: `model`, another model of the same server
    (ENGINE_OPENAI_FALLBACK_MODEL); `second`, another server (ENGINE_OPENAI_SECOND_...); then either `offline`, which
    stands in for what is away and never for a model that declined, or `fail`: the run fails, and can be retried."""
    openai_api_key: str = ""
    openai_base_url: str = ""
    openai_model: str = "gpt-5-mini"
    openai_fallback_model: str = ""
    openai_second_api_key: str = ""
    openai_second_base_url: str = ""
    openai_second_model: str = ""
    judge_call_seconds: Seconds = 30.0
    judge_job_seconds: Seconds = 120.0
    """For all calls of one attempt at an evaluation, also to those who stand in."""
    judge_calls_parallel: Count = 4
    judge_repeats: Literal["never", "near", "always"] = "near"
    """Whether a submission is judged three times, each check by majority: `near`, when the first total lies within 5
    points of the pass mark, where chance would decide."""
    judge_appeals: Limit = 1
    """How many checks of a submission may be appealed, one after the other. 0: none."""
    judge_prices: Path | None = None
    """A JSON file with a version, and prices a million tokens by model (engine/judging/README.md). Without it receipts
    say that no price is known."""
    judge_day_tokens: Limit = 2_000_000
    """What models may take in and give out for one user in 24 hours: about a hundred usual evaluations, or ten of the
    largest that can be handed in. 0: no limit."""
    judge_day_cost: Annotated[float, Meta(ge=0)] = 0.0
    """The same in money, by ENGINE_JUDGE_PRICES, which must then know every model that is asked. 0: no limit."""

    lease_seconds: Seconds = 15.0
    """How long a worker may be silent before another takes its evaluation."""
    heartbeat_seconds: Seconds = 20.0
    heartbeat_grace_seconds: Seconds = 10.0
    drain_seconds: Seconds = 14.0
    """For the sockets to go elsewhere after SIGTERM; 20 s after it the process is gone."""

    failpoints: tuple[Failpoint, ...] = ()
    """For tests, and refused in production: at a named instant (engine/failpoints.py) the process dies, fails or stands
    still. `commit.after=kill`, `ring=raise`, `claimed=pause:5`; `@3` after it means the third pass."""

    def __repr__(self) -> str:
        """Without what is secret: settings are in the repr of many a part."""
        shown = ((name, getattr(self, name)) for name in self.__struct_fields__)
        fields = (f"{name}={'***' if name in SECRETS and value else repr(value)}" for name, value in shown)
        return f"Settings({', '.join(fields)})"

    @property
    def base_url(self) -> str:
        """Where browsers reach the engine, without a slash at the end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def origins(self) -> frozenset[str]:
        """The exact origins whose pages may call. In development this machine may be called by either name."""
        own = {self.base_url}
        if not self.production and not self.public_url and self.host in LOCAL:
            own |= {f"http://localhost:{self.port}", f"http://127.0.0.1:{self.port}"}
        return frozenset({*own, *self.allowed_origins})

    @property
    def production(self) -> bool:
        return self.mode == "production"

    @property
    def judge_name(self) -> Literal["openai", "offline"]:
        """Which judge `auto` comes to."""
        if self.judge != "auto":
            return self.judge
        return "openai" if self.openai_api_key or self.openai_base_url else "offline"


def _variable(field: str) -> str:
    return next((name for name, to in UNPREFIXED.items() if to == field), PREFIX + field.upper())


def load_settings(environ: Mapping[str, str] | None = None, **changes: Any) -> Settings:
    """Read the settings from `environ` (default: the process's own); `changes` win.

    Raises SettingsError that names the variable, for a wrong value and for an unknown ENGINE_ name.
    """
    environ = os.environ if environ is None else environ
    known = {_variable(field): field for field in Settings.__struct_fields__}
    read: dict[str, Any] = {}
    for variable, value in environ.items():
        if variable in known and value != "":
            field = known[variable]
            read[field] = value.replace(",", " ").split() if field in LISTS else value
        elif variable.startswith(PREFIX) and variable not in known and variable not in OF_OTHERS:
            raise SettingsError(f"{variable} is not a setting of the engine (see `engine settings`)")
    try:
        settings = msgspec.convert({**read, **changes}, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise SettingsError(_explain(str(error))) from None
    _check_fallbacks(settings)
    _check_production(settings)
    return settings


def weakness(secret: str) -> str | None:
    """Why a secret is one that somebody could guess; None where nothing is to be seen, which proves little."""
    plain = "".join(filter(str.isalnum, secret.lower()))
    found = next((word for word in PLACEHOLDERS if word in plain), None)
    if len(secret) < SECRET_CHARS_MIN:
        return f"production needs at least {SECRET_CHARS_MIN} characters"
    if found:
        return f"this is a placeholder: it says {found!r}"
    if len(set(secret)) < SECRET_DISTINCT_MIN or secret in (secret * 2)[1:-1]:
        return "a few characters, repeated, are no secret"
    if "," in secret or len(secret.split()) != 1:
        return "a comma or a blank in it would keep it out of ENGINE_OLDER_SECRET_KEYS, a list"
    return None


MAKE_SECRET = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
LISTS = frozenset({"allowed_origins", "trusted_proxies", "older_secret_keys", "judge_fallbacks", "failpoints"})
OF_OTHERS = frozenset({"ENGINE_PG_BINDIR", "ENGINE_REDIS_BIN"})
"""Where `embedded` looks for other server binaries; read through `binaries()` below."""


def binaries(environ: Mapping[str, str] | None = None) -> tuple[Path | None, Path | None]:
    """(folder of initdb and postgres, the redis or valkey server), where the user names them."""
    environ = os.environ if environ is None else environ
    postgres, redis = environ.get("ENGINE_PG_BINDIR"), environ.get("ENGINE_REDIS_BIN")
    return (Path(postgres) if postgres else None, Path(redis) if redis else None)


def _path(kind: type, value: Any) -> Path:
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    raise NotImplementedError(f"no setting is a {kind}")


def _explain(error: str) -> str:
    what, _, where = error.partition(" - at `$.")
    field = where.rstrip("`").split("[")[0]
    return f"{_variable(field)}: {what}" if field else error


def _check_fallbacks(settings: Settings) -> None:
    steps = settings.judge_fallbacks
    if len(set(steps)) < len(steps):
        raise SettingsError("ENGINE_JUDGE_FALLBACKS: names a step twice")
    if any(step in ("offline", "fail") for step in steps[:-1]):
        raise SettingsError("ENGINE_JUDGE_FALLBACKS: nobody is asked after `offline` or `fail`; put it last")
    if "model" in steps and not settings.openai_fallback_model:
        raise SettingsError("ENGINE_JUDGE_FALLBACKS: `model` needs ENGINE_OPENAI_FALLBACK_MODEL")
    second = settings.openai_second_api_key or settings.openai_second_base_url
    if "second" in steps and not (second and settings.openai_second_model):
        raise SettingsError(
            "ENGINE_JUDGE_FALLBACKS: `second` needs ENGINE_OPENAI_SECOND_MODEL, and ENGINE_OPENAI_SECOND_BASE_URL or "
            "ENGINE_OPENAI_SECOND_API_KEY"
        )
    if settings.judge_day_cost and settings.judge_prices is None:
        raise SettingsError("ENGINE_JUDGE_DAY_COST: needs ENGINE_JUDGE_PRICES")


def _check_production(settings: Settings) -> None:
    if not settings.production:
        return
    secrets = [("secret_key", settings.secret_key), *(("older_secret_keys", one) for one in settings.older_secret_keys)]
    if settings.metrics_token:
        secrets.append(("metrics_token", settings.metrics_token))
    for field, secret in secrets:
        if why := weakness(secret):
            raise SettingsError(f"{_variable(field)}: {why}; {MAKE_SECRET}")
    if settings.google_client_id and not settings.google_jwks_url.startswith("https://"):
        raise SettingsError("ENGINE_GOOGLE_JWKS_URL: production fetches keys by https only")
    if settings.failpoints:
        raise SettingsError("ENGINE_FAILPOINTS: production does not break on purpose")
    if not settings.smtp_host:
        raise SettingsError("ENGINE_SMTP_HOST: production sends codes by SMTP; the development mailbox is refused")
    for field in ("database_url", "redis_url", "public_url"):
        if not getattr(settings, field):
            raise SettingsError(f"{_variable(field)}: production needs it")
    _check_nothing_in_the_clear(settings)


def _check_nothing_in_the_clear(settings: Settings) -> None:
    if not _is_private(settings.public_url):
        raise SettingsError("ENGINE_PUBLIC_URL: must be https://..., but for a host that is this machine")
    password = settings.smtp_user or settings.smtp_password
    if password and settings.smtp_tls == "none" and settings.smtp_host not in LOCAL:
        raise SettingsError("ENGINE_SMTP_TLS: none would show the password to the network; use starttls or tls")


def _is_private(url: str) -> bool:
    """Whether nobody on the way sees what is sent to it: tokens, codes, cookies."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL))
