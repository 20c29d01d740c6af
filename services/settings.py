"""How a running Tender is set up: every setting is a `TENDER_…` variable of the environment.

Without a database and a broker of your own, `tender up` starts embedded ones and fills these in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TENDER_", env_file=".env", extra="ignore")

    data_dir: Path = Path(".tender")
    """Where the embedded stack keeps its data and its logs."""

    database_url: str | None = None
    """`postgresql://user:password@host/database`; none: the embedded PostgreSQL."""
    kafka_bootstrap_servers: str | None = None
    """`host:port,host:port`; none: the embedded broker."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: str = "SCRAM-SHA-512"
    kafka_username: str | None = None
    kafka_password: SecretStr | None = None
    kafka_ca_file: Path | None = None
    kafka_idempotent_producer: bool = True
    """Off on the embedded broker, which does not know idempotent producers."""
    cluster_id: str | None = None
    """Of the embedded broker, anew at each start; of a real one it is asked."""

    key_encryption_key: SecretStr | None = None
    """32 bytes in base64, the same for every process: the keys of data subjects are wrapped under it.
    To change it: `new,old`.  Whoever has lost it can read no personal data any more."""
    key_encryption_key_file: Path | None = None
    """A file that holds the same; without either, `key-encryption-key` in the data folder, made at first."""

    topic_prefix: str = ""
    topic_partitions: int = Field(default=12, ge=1)
    """Of topics that we make on your broker; the embedded one's have 4."""
    topic_replication: int = Field(default=1, ge=1)
    """How many brokers hold each topic: 3 where there are three."""
    consumer_group: str = "tender"
    group_session_timeout_ms: int = Field(default=10_000, ge=1_000)
    """A worker that was not heard of for so long has lost its partitions."""
    batch_records_max: int = Field(default=1000, ge=1, le=10_000)
    batch_timeout_ms: int = Field(default=10, ge=1, le=10)
    outbox_resend_seconds: float = Field(default=30.0, gt=0)
    relay_refill_events_max: int = Field(default=100_000, ge=0)
    """How much of the log a broker that lost its topics gets back."""

    cached_streams_max: int = Field(default=200_000, ge=1000)

    http_host: str = "127.0.0.1"
    """Actors are recorded, not yet trusted: listen on loopback only, or behind your own gate."""
    http_port: int = Field(default=8080, ge=0, le=65535)
    http_wait_seconds: float = 2.0

    notification_bytes_max: int = Field(default=256 * 1024, ge=1024)
    """Of one delivery of a gateway's news; larger ones are refused."""
    notification_raw_days: int = Field(default=30, ge=1)
    """How long the bytes of notifications are kept; what they said is in the log."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=0, ge=0, le=65535)
    """Where each role tells Prometheus what it counts; 0: nowhere, HTTP's `/metrics` has it all
    where the roles share a machine."""

    simulator_url: str | None = None
    """Of a running gateway simulator; none: the embedded one."""
    simulator_seed: int = 7
    simulator_mood: str = "mix"
    """How the embedded one notifies: see `gateways/simulator/notifying.py`."""
    public_url: str | None = None
    """Where the simulator reaches our HTTP for its notifications; none: at `http_host` and `http_port`."""
    gateway_concurrency: int = Field(default=200, ge=1)
    """Calls in the air at a time, of one process with the role."""
    gateway_concurrency_each: int = Field(default=100, ge=1)
    """Of one gateway at most so many; its registration may say less (`settings.concurrency`)."""
    gateway_workers: int = Field(default=1, ge=1)
    """How many processes have the role: each keeps to its share of a gateway's rate limit."""
    gateway_failures_max: int = Field(default=10, ge=0)
    """Calls in a row without an answer that open a gateway's circuit; 0: only people open it."""
    gateway_lease_seconds: float = 180.0
    """Longer than any gateway's read timeout."""

    @property
    def notifications_url(self) -> str:
        return self.public_url or f"http://{self.http_host.replace('0.0.0.0', '127.0.0.1')}:{self.http_port}"  # noqa: S104

    @property
    def embedded_database(self) -> bool:
        return self.database_url is None

    @property
    def embedded_broker(self) -> bool:
        return self.kafka_bootstrap_servers is None
