"""Settings from the environment."""

from pathlib import Path

import pytest

from shared.config import Settings, redis_address, secrets
from shared.errors import UsageError


def test_variables_become_typed_settings() -> None:
    """Numbers, switches and words; an empty variable counts as unset."""
    settings = Settings.load({"CAMQ_CHUNK_SIZE": "7", "CAMQ_S3_SECURE": "true", "CAMQ_BUCKET": "", "HOME": "/"})

    assert (settings.chunk_size, settings.s3_secure, settings.bucket) == (7, True, "camq")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("CHUNK_SIZE", "0", "a whole number >= 1"),
        ("DEVICE", "tpu", "one of auto, cpu, cuda"),
        ("LEASE_S", "soon", "a number"),
        ("INPUT_S3_SECURE", "maybe", "true or false"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_expected(name: str, value: str, expected: str) -> None:
    """The message must lead to the line to change, and to what to write there."""
    with pytest.raises(UsageError, match=f"^invalid CAMQ_{name} '{value}': expected {expected}$"):
        Settings.load({f"CAMQ_{name}": value})


def test_settings_survive_the_way_through_an_environment() -> None:
    """A child process gets the same settings."""
    settings = Settings(redis_url="redis://:pw@h:1/2", s3_secure=True, lease_s=3.5, model="resnet18")

    assert Settings.load(settings.environment()) == settings


def test_a_bucket_that_may_be_read_is_not_one_that_begins_like_it() -> None:
    """`s3://in` admits `s3://in/a`, and never `s3://inner/a`; a prefix is taken as it is written."""
    settings = Settings(input_prefixes="s3://in s3://photos/2026", output_prefixes="s3://out")

    assert settings.readable_in_place() == ("s3://in/", "s3://photos/2026")
    assert settings.writable_outside() == ("s3://out/",)


def test_secrets_are_known_and_stay_out_of_addresses_and_reprs() -> None:
    """What is printed about Redis is its address alone, and printed settings hide their secrets."""
    settings = Settings(
        redis_url="redis://:hunter2@cache:6380/0", s3_access_key="ak-1", s3_secret_key="sk-1", webhook_secret="whsec_ab"
    )

    assert redis_address(settings) == "cache:6380"
    assert set(secrets(settings)) == {"hunter2", "ak-1", "sk-1", "whsec_ab", "ab"}
    assert not any(secret in repr(settings) for secret in secrets(settings))


def test_a_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    """As orchestrators mount them; the variable itself goes first, and a missing file is named."""
    (tmp_path / "key").write_text("sk-1\n")
    variables = {"CAMQ_S3_SECRET_KEY_FILE": str(tmp_path / "key")}

    assert Settings.load(variables).s3_secret_key == "sk-1"
    assert Settings.load(variables | {"CAMQ_S3_SECRET_KEY": "sk-2"}).s3_secret_key == "sk-2"
    with pytest.raises(UsageError, match="CAMQ_S3_SECRET_KEY_FILE"):
        Settings.load({"CAMQ_S3_SECRET_KEY_FILE": str(tmp_path / "none")})


@pytest.mark.parametrize("lease_s", [0.5, 12.0, 3600.0])
def test_what_follows_from_the_lease_cannot_contradict_it(lease_s: float) -> None:
    """A worker that died is off the list before its lease ends, or its death would not be charged."""
    settings = Settings(lease_s=lease_s)

    assert settings.heartbeat_s * 4 <= settings.heartbeat_ttl_s < settings.lease_s
    assert settings.reap_s < 0.4 * settings.lease_s
    assert settings.hint_s < settings.lease_s


def test_the_default_lease_gives_the_documented_times() -> None:
    """docs/how-the-ledger-works.md and docs/operations.md name them."""
    settings = Settings()

    times = (settings.heartbeat_s, settings.heartbeat_ttl_s, settings.reap_s, settings.hint_s)
    assert times == (1.0, 4.5, 2.0, 10.0)
