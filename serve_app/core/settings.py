"""Every setting with its default, read from environment variables that start with ``TAGS_``.

>>> Settings(kafka_bootstrap="127.0.0.1:7192").kafka_bootstrap
'127.0.0.1:7192'
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

_T = TypeVar("_T")
_CHANGES_LIVE: Final = "changes live"
Live = Annotated[_T, _CHANGES_LIVE]
"""A setting that ``user_config`` of the deployment ``case12`` may change while requests are under
way: `serve_app.replica.Replica.reconfigure` hands it on."""


class Settings(BaseSettings):
    """Immutable; ``TAGS_KAFKA_BOOTSTRAP`` sets ``kafka_bootstrap`` and so on.

    Secrets are masked when printed. Units stand at the end of a name: ``_ms``, ``_s``, ``_bytes``.
    """

    model_config = SettingsConfigDict(env_prefix="TAGS_", frozen=True, extra="forbid")

    # Kafka: where it is, and how to talk to it.
    kafka_bootstrap: str = "127.0.0.1:7192"
    """``host:port`` of some brokers, comma separated; they tell of the others."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How connections are encrypted (``SSL``) and logged in (``SASL_``)."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """With a ``SASL_`` protocol: how the user is proved."""
    kafka_username: str = ""
    """With a ``SASL_`` protocol."""
    kafka_password: SecretStr = SecretStr("")
    """Of that user."""
    kafka_ca_file: str = ""
    """Certificate (PEM) of the CA that signed the brokers'; empty: those of the system."""
    kafka_request_timeout_ms: int = Field(default=3_000, ge=100)
    """A broker that does not answer for this long is given up: fencing takes about 2 s."""

    # Redis Cluster: any of its nodes, comma separated.
    redis_nodes: str = "127.0.0.1:7101,127.0.0.1:7102,127.0.0.1:7103"
    """``host:port`` of all: the cluster is made of them, and a client needs one that answers."""
    redis_username: str = ""
    """Empty: the default user."""
    redis_password: SecretStr = SecretStr("")
    """Empty: no login."""
    redis_ca_file: str = ""
    """Certificate (PEM) of the CA that signed the nodes'; empty: no TLS."""
    redis_timeout_s: float = Field(default=0.1, gt=0)
    """A node that does not answer a replica for this long is marked down for a moment: half of the
    client's 200 ms, so that a profile query can still ask a replica of the shard."""

    # MySQL or MariaDB.
    mysql_host: str = "127.0.0.1"
    """Of the primary, or of the proxy that leads to it."""
    mysql_port: int = Field(default=7306, ge=1, le=65_535)
    """Of the same."""
    mysql_user: str = "tags"
    """Who may read and write the tables and change the schema."""
    mysql_password: SecretStr = SecretStr("")
    """Of that user."""
    mysql_database: str = "user_tags"
    """Where the tables are."""
    mysql_ca_file: str = ""
    """Certificate (PEM) of the CA that signed the server's; empty: no TLS."""

    # The API.
    api_token: SecretStr = SecretStr("")
    """What a client sends as ``Authorization: Bearer <token>``; empty: nobody is asked."""

    # Taking tags.
    ingest_linger_ms: Live[float] = Field(default=8.0, ge=0)
    """Tags that arrive within this time share their writes: fewer and larger system calls. 20 ms
    takes a tenth less processor time at 700 tags/s."""
    ingest_max_waiting: Live[int] = Field(default=2_000, ge=1)
    """Tags that one replica lets wait for the stores; beyond, a quick 503."""
    ingest_timeout_s: Live[float] = Field(default=5.0, gt=0)
    """After this the answer is 504; the writes go on. Longer than Kafka needs to replace a
    broker, as a client that waits is better told late than not at all."""
    ingest_max_busy: Live[float] = Field(default=0.9, ge=0)
    """A replica that runs, or waits for a processor, for more than this share of the time refuses
    some requests with a quick 503 (serve_app/admission.py). Above 1: never."""
    ingest_min_own_work: Live[float] = Field(default=0.05, ge=0, le=1)
    """What it must run itself, as a share of the time: a replica that others keep from the
    processor refuses nothing."""
    ingest_min_under_way: Live[int] = Field(default=4, ge=0)
    """Requests under way in a replica that are no queue: with fewer it refuses nothing."""
    ingest_target_s: Live[float] = Field(default=0.1, ge=0)
    """While a replica's answers take no longer than this on average, counted from HAProxy, it
    refuses nothing, however busy it is. More than HAProxy lets a request wait (setup/ingress),
    which refuses at a tenth of the cost. 0: how busy it is decides alone."""

    record_request_ids: bool = True
    """Keep each request's id in a header of its record, so that ``make trace-tag`` finds it: about
    50 bytes a tag in the log, and half a microsecond."""

    # Profiles.
    profile_quick_writes: Live[bool] = True
    """Write each accepted tag to Redis at once, so that readers see it within milliseconds; nobody
    waits for it. Without, the partition actors bring it there within a second or so."""
    profile_idle_days: float = Field(default=90.0, ge=0)
    """A cookie without a tag for this many days (of real time) leaves Redis by itself. 0: never."""

    # Answering queries.
    profile_timeout_s: Live[float] = Field(default=1.0, gt=0)
    """An answer later than this is a 503."""
    aggregate_timeout_s: Live[float] = Field(default=55.0, gt=0)
    """The same for aggregates; the client gives up after 60 s."""
    aggregate_promise_s: Live[float] = Field(default=60.0, ge=0)
    """A tag accepted longer ago than this is counted in every answer."""


LIVE: Final = frozenset(
    name for name, field in Settings.model_fields.items() if _CHANGES_LIVE in field.metadata
)
"""Names of the settings of type `Live`."""


def with_live(base: Settings, changes: Mapping[str, Any] | None) -> Settings:
    """``base`` with some of the `LIVE` settings changed.

    Raises:
        ValueError: names each setting that cannot change live, or whose value breaks a rule.
    """
    changes = dict(changes or {})
    fixed = sorted(changes.keys() - LIVE)
    if fixed:
        can = ", ".join(sorted(LIVE))
        raise ValueError(f"user_config: {', '.join(fixed)} cannot change live; what can: {can}")
    try:
        return Settings.model_validate({**base.model_dump(), **changes})
    except ValidationError as error:
        rules = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ValueError(f"user_config: {'; '.join(rules)}") from None


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
