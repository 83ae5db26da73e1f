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
"""A setting that ``user_config`` of the deployment ``case12`` may change at runtime, through
`serve_app.replica.Replica.reconfigure`."""


class Settings(BaseSettings):
    """Immutable. ``TAGS_KAFKA_BOOTSTRAP`` sets ``kafka_bootstrap``, and so on.

    Secrets are masked when printed. Units stand at the end of a name: ``_ms``, ``_s``, ``_bytes``.
    """

    model_config = SettingsConfigDict(env_prefix="TAGS_", frozen=True, extra="forbid")

    # Kafka: address and authentication.
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
    """Time-out of a request to a broker. Longer than fencing a dead one, which takes about 2 s."""

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
    """A node that does not answer for this long is marked down for a moment. Half of the client's
    200 ms, so that a profile query can still ask a replica of the shard."""

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
    """Required as ``Authorization: Bearer <token>``; empty: no authentication."""

    # Taking tags.
    ingest_linger_ms: Live[float] = Field(default=8.0, ge=0)
    """Tags that arrive within this time are written together, in fewer system calls. 20 ms takes a
    tenth less processor time at 700 tags/s."""
    ingest_max_waiting: Live[int] = Field(default=2_000, ge=1)
    """Maximum of tags in a replica that wait for the stores; more get an immediate 503."""
    ingest_timeout_s: Live[float] = Field(default=5.0, gt=0)
    """After this time the answer is 504, while the write goes on. Longer than Kafka takes to
    replace a broker, so that a client that waits gets the outcome."""
    ingest_max_busy: Live[float] = Field(default=0.9, ge=0)
    """A replica that runs or waits for a processor for more than this share of the time refuses
    some requests with an immediate 503 (serve_app/admission.py). Above 1: never."""
    ingest_min_own_work: Live[float] = Field(default=0.05, ge=0, le=1)
    """A replica that runs for less than this share of the time refuses nothing: other processes
    keep it from the processor."""
    ingest_min_under_way: Live[int] = Field(default=4, ge=0)
    """With fewer requests in flight, a replica refuses nothing."""
    ingest_target_s: Live[float] = Field(default=0.1, ge=0)
    """While a replica's mean latency, counted from HAProxy, is at most this, it refuses nothing,
    however busy it is. Longer than HAProxy queues a request (setup/ingress), since a refusal there
    costs a tenth. 0: only busyness counts."""

    record_request_ids: bool = True
    """Store each request's id in a header of its record, for ``make trace-tag``. Costs about 50
    bytes per tag in the log, and half a microsecond."""

    # Profiles.
    profile_quick_writes: Live[bool] = True
    """Write each accepted tag to Redis at once, in the background, so that it is visible within
    milliseconds. Otherwise the partition actors write it within about a second."""
    profile_idle_days: float = Field(default=90.0, ge=0)
    """A cookie without a tag for this many days (of real time) expires in Redis. 0: never."""

    # Answering queries.
    profile_timeout_s: Live[float] = Field(default=1.0, gt=0)
    """Time-out of a profile query; then 503."""
    aggregate_timeout_s: Live[float] = Field(default=55.0, gt=0)
    """Time-out of an aggregate query; then 503. Below the client's 60 s."""
    aggregate_promise_s: Live[float] = Field(default=60.0, ge=0)
    """Every answer counts the tags accepted longer ago than this (s)."""


LIVE: Final = frozenset(
    name for name, field in Settings.model_fields.items() if _CHANGES_LIVE in field.metadata
)
"""Names of all `Live` settings."""


def with_live(base: Settings, changes: Mapping[str, Any] | None) -> Settings:
    """``base`` with some of the `LIVE` settings changed.

    Raises:
        ValueError: names each setting that cannot change live, or has an invalid value.
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
    """The settings of this process, read at the first call."""
    return Settings()
