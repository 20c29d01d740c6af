"""How a running Tender is set up: every setting is a `TENDER_…` variable of the environment.

Without a database and a broker of your own, `tender up` starts embedded ones and fills these in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.signing_in.tokens import ALGORITHMS


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
    batch_timeout_ms: int = Field(default=20, ge=1, le=20)
    """How long the broker may let a question for commands wait: the embedded one wakes nobody who waits."""
    outbox_resend_seconds: float = Field(default=30.0, gt=0)
    relay_refill_events_max: int = Field(default=100_000, ge=0)
    """How much of the log a broker that lost its topics gets back."""

    cached_streams_max: int = Field(default=200_000, ge=1000)

    sign_in: Literal["off", "required"] = "off"
    """`off`: whoever reaches HTTP or the broker is the operator, so HTTP listens on loopback only.
    `required`: nobody does or sees anything without a token or a key that lets him."""
    oidc_issuer: str | None = None
    """Of the OpenID provider, as its tokens name it; none: only API keys sign in."""
    oidc_audience: str | None = None
    """For whom its tokens must be."""
    oidc_jwks_url: str | None = None
    """Where its keys are; none: where its `.well-known/openid-configuration` says."""
    oidc_jwks_file: Path | None = None
    """A file with its keys instead, read again when it changes."""
    oidc_jwks_seconds: float = Field(default=600.0, ge=1)
    """How long fetched keys are used before they are fetched again."""
    oidc_algorithms: tuple[str, ...] = ("RS256", "ES256", "PS256", "EdDSA")
    """By which tokens may be signed; never a shared secret."""
    oidc_leeway_seconds: float = Field(default=30.0, ge=0, le=300)
    """How far clocks may differ."""
    oidc_id_claim: str = "sub"
    oidc_roles_claim: str = "roles"
    """A list of roles, or a text with blanks between; `realm_access.roles` leads into an object."""
    oidc_tenants_claim: str = "tenants"
    """The tenants that somebody has to do with; `*`: every one."""
    oidc_accounts_claim: str = "accounts"
    """The only accounts that somebody reaches; without the claim: all that his roles let him."""
    oidc_contact_claim: str = "contact"
    """Which contact of his account a customer is: of the others' own methods he sees none."""
    oidc_role_names: dict[str, str] = Field(default_factory=dict)
    """`{"the provider's role or group": "PAYMENT_ADMIN"}`; empty: they are called the same."""
    api_key: SecretStr | None = None
    """By what the CLI signs in over HTTP; or a token, or a file that holds one of them."""
    api_key_file: Path | None = None
    token: SecretStr | None = None
    token_file: Path | None = None
    kafka_principals_file: Path | None = None
    """Who produces commands, by the topic that only he may write to: see `deploy/sign-in.md`."""

    http_host: str = "127.0.0.1"
    """Any other than a loopback address needs `sign_in`."""
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

    clock_file: Path | None = None
    """Where an embedded stack keeps how far its time was moved: set by `tender up`, nobody else."""

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
    gateway_grace_seconds: float = Field(default=5.0, ge=0)
    """How long a process that is told to end waits for the answers to what it has sent."""

    @field_validator("oidc_algorithms")
    @classmethod
    def _asymmetric(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if not given or not set(given) <= ALGORITHMS:
            raise ValueError(f"some of {', '.join(sorted(ALGORITHMS))}")
        return given

    def shown(self) -> str | None:
        """What the CLI signs in by.  Raises `OSError` for a file that is not there."""
        for given, file in ((self.api_key, self.api_key_file), (self.token, self.token_file)):
            if given is not None:
                return given.get_secret_value().strip()
            if file is not None:
                return file.read_text().strip()
        return None

    @property
    def notifications_url(self) -> str:
        return self.public_url or f"http://{self.http_host.replace('0.0.0.0', '127.0.0.1')}:{self.http_port}"  # noqa: S104

    @property
    def embedded_database(self) -> bool:
        return self.database_url is None

    @property
    def embedded_broker(self) -> bool:
        return self.kafka_bootstrap_servers is None
