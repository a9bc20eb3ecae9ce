"""The metrics that exist, and those that an expression of Prometheus names."""

import re

from prometheus_client import CollectorRegistry

_NAME = re.compile(r"\b(?:camq|process)_[a-z0-9_]+")


def exposed(registry: CollectorRegistry) -> set[str]:
    """The names of all series that a registry exposes now."""
    return {sample.name for family in registry.collect() for sample in family.samples}


def named(expression: str) -> set[str]:
    """The metrics an expression asks for; what stands in quotes is no metric."""
    return set(_NAME.findall(re.sub(r'"[^"]*"', "", expression)))
