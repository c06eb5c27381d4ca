"""Where data may be: the AWS region in a name, and whether the installation allows it.

    queue URL ─┐
    ARN ───────┼─> region_of ─> "eu-west-1", or None if the name has no region ────┐
    host name ─┘                                                                   ├─> Allowed ─> Resource.fault
    GetBucketLocation ─> bucket_region ────────────────────────────────────────────┘

A region is read only from names in a form that AWS issues: the suffix of a partition, with the region where AWS puts it.
Other names have no region, and a name without one is not allowed. No rule matches prefixes: `eu-west-2` is London.

Sources: botocore's partitions.json (suffixes); S3, SQS, RDS and PrivateLink user guides (forms of host names), November 2026.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qs, urlsplit

from mailroom.domain.errors import ConfigurationError
from mailroom.domain.outbound.providers import REGISTRY

EU_REGIONS = (
    "eu-west-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-3",
    "eu-south-1",
    "eu-south-2",
    "eusc-de-east-1",
)
"""AWS regions in the European Union. London (eu-west-2) and Zurich (eu-central-2) are not in it."""

SETTING = "MAILROOM_REGIONS_ALLOWED"
THIS_MACHINE = "this machine"

#: Providers' hosts in the EU without a named region are allowed if all EU regions are; hosts in the US only if named.
_SOMEWHERE_IN_THE_EU = frozenset(host for row in REGISTRY for host in row.hosts_in_the_eu)
_IN_THE_US = frozenset(host for row in REGISTRY for host in row.hosts_in_the_us)

_REGIONS = {
    "aws": re.compile(r"(?!cn-)[a-z]{2}-[a-z]+-\d{1,2}"),
    "aws-us-gov": re.compile(r"us-gov-[a-z]+-\d{1,2}"),
    "aws-cn": re.compile(r"cn-[a-z]+-\d{1,2}"),
    "aws-eusc": re.compile(r"eusc-[a-z]{2}-[a-z]+-\d{1,2}"),
}
_SUFFIXES = {
    ".api.amazonwebservices.com.cn": ("aws-cn",),
    ".api.amazonwebservices.eu": ("aws-eusc",),
    ".amazonaws.com.cn": ("aws-cn",),
    ".amazonaws.com": ("aws", "aws-us-gov"),
    ".amazonaws.eu": ("aws-eusc",),
    ".api.aws": ("aws", "aws-us-gov"),
}
#: Before these labels the region is the last label but one; before others it is the last.
_BEHIND_THE_REGION = frozenset({"queue", "vpce", "rds"})
#: Hosts without a region belong to AWS's first region.
_FIRST_REGION, _FIRST_HOSTS = "us-east-1", frozenset({"s3", "s3-external-1", "queue"})

_ARN = re.compile(r"arn:(?P<partition>[a-z-]+):[a-z0-9-]+:(?P<region>[a-z0-9-]*):(?:\d{12}|aws)?:[!-~]+")
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")
_PRINTABLE = re.compile(r"[!-\[\]-~]+")  # ASCII without blanks and backslashes, which URL parsers disagree about


def region_of(where: str) -> str | None:
    """Return the AWS region in an ARN, a URL or a host name, or None if it has none for certain."""
    if where.startswith("arn:"):
        match = _ARN.fullmatch(where)
        return _known(match["region"], (match["partition"],)) if match else None
    host = host_of(where)
    for suffix, partitions in _SUFFIXES.items():
        if host.endswith(suffix):
            return _of_labels(host.removesuffix(suffix).split("."), partitions)
    return None


def bucket_region(location: str | None) -> str | None:
    """Return the region of GetBucketLocation's answer: empty is AWS's first region, `EU` the first one in Europe."""
    if not location:
        return _FIRST_REGION
    return "eu-west-1" if location == "EU" else _known(location, _REGIONS)


def host_of(where: str) -> str:
    """Return the host of a URL, or a bare host name (with or without a port), in lower case; "" if it is not certain."""
    if not _PRINTABLE.fullmatch(where) or where.count("@") > 1:
        return ""
    try:
        parts = urlsplit(where if "://" in where else f"//{where}")
        host = (parts.hostname or "").removesuffix(".")
        bare = "://" in where or (parts.netloc == where and "@" not in where)
        _ = parts.port  # with two colons or an invalid port, parsers disagree about the host
    except ValueError:
        return ""
    if not bare:
        return ""
    return host if _HOST.fullmatch(host) or ":" in host else ""


def is_this_machine(where: str) -> bool:
    """Return whether a URL or host name leads to this machine."""
    host = host_of(where)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def database_hosts(url: str) -> list[str]:
    """Return every host that a PostgreSQL URL may connect to: libpq accepts several, also in the query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return []
    named = parts.netloc.rpartition("@")[2].split(",")
    query = parse_qs(parts.query)
    named += [host for word in ("host", "hostaddr") for value in query.get(word, []) for host in value.split(",")]
    return [host for host in named if host and not host.startswith("/")]


@dataclass(frozen=True, slots=True)
class Resource:
    """A place of data: what it is, its name, its region, and why that is not allowed (empty if it is allowed)."""

    what: str
    name: str
    region: str
    fault: str = ""

    def __str__(self) -> str:
        return f"the {self.what} {self.name} {self.fault}"


@dataclass(frozen=True, slots=True)
class Allowed:
    """The regions in which data may be, and the hosts that the operator vouches for."""

    regions: frozenset[str]
    hosts: frozenset[str] = frozenset()

    @classmethod
    def read(cls, setting: str) -> Self:
        """Return the setting's regions and host names, separated by blanks or commas.

        Raises:
            ValueError: a word is neither, or no region is named; the message says so.
        """
        regions, hosts = set(), set()
        for word in setting.replace(",", " ").split():
            if _known(word, _REGIONS):
                regions.add(word)
            elif "." in word and host_of(word) == word.lower():
                hosts.add(word.lower())
            else:
                raise ValueError(f"{word!r} is neither an AWS region nor a host name; use names such as eu-west-1")
        if not regions:
            raise ValueError("no region is given; unset it to allow the EU regions, or use names such as eu-west-1")
        return cls(frozenset(regions), frozenset(hosts))

    def __str__(self) -> str:
        return " ".join([*sorted(self.regions), *sorted(self.hosts)])

    def judge(self, what: str, name: str, region: str | None) -> Resource:
        """Return a resource, with its fault if its region is not allowed."""
        if region is None:
            return Resource(what, name, "", "has no known region")
        return Resource(what, name, region, "" if region in self.regions else f"is in {region}")

    def judge_endpoint(self, what: str, where: str) -> Resource:
        """Return the endpoint of a client or provider, a URL or a host name, with its fault if it has one."""
        host = host_of(where)
        if is_this_machine(where):
            return Resource(what, host, THIS_MACHINE)
        if host in self.hosts:
            return Resource(what, host, "allowed host")
        if host in _SOMEWHERE_IN_THE_EU and self.regions.issuperset(EU_REGIONS):
            return Resource(what, host, "EU")
        if host in _IN_THE_US:
            return Resource(what, host, "US", "is in the US")
        return self.judge(what, host or "(no host name)", region_of(host) if host else None)

    def judge_named(self, what: str, where: str) -> Resource:
        """Return a queue, key or topic, by its URL or ARN; a URL may be on this machine or a host that is vouched for."""
        if "://" not in where:
            return self.judge(what, where, region_of(where))
        seen = self.judge_endpoint(what, where)
        return Resource(what, where, seen.region, seen.fault)

    def judge_if_said(self, what: str, where: str) -> Resource:
        """Return a server of the installation; its name is judged only if it contains a region."""
        region = region_of(where)
        if region is None:
            return Resource(what, host_of(where), THIS_MACHINE if is_this_machine(where) else "unknown")
        return self.judge(what, host_of(where), region)


def refuse(resources: Iterable[Resource], allowed: Allowed) -> None:
    """Raise an error if a resource is not allowed.

    Raises:
        ConfigurationError: one line names each such resource, its region, and what to do.
    """
    faults = list(dict.fromkeys(str(one) for one in resources if one.fault))
    if faults:
        raise ConfigurationError(
            f"{'; '.join(faults)}. {SETTING} allows {allowed}: use a resource there, or add the region or a trusted "
            "host name to the setting"
        )


def _of_labels(labels: list[str], partitions: Iterable[str]) -> str | None:
    *before, last = labels
    if "aws" in partitions and last in _FIRST_HOSTS and (last != "queue" or not before):
        return _FIRST_REGION
    if last in _BEHIND_THE_REGION and len(before) >= (1 if last == "queue" else 2):
        return _known(before[-1], partitions)
    if last.startswith(("s3-", "s3-website-")):
        return _known(last.removeprefix("s3-").removeprefix("website-"), partitions)
    return _known(last, partitions) if before else None


def _known(region: str, partitions: Iterable[str]) -> str | None:
    forms = (_REGIONS[partition] for partition in partitions if partition in _REGIONS)
    return region if any(form.fullmatch(region) for form in forms) else None
