"""What a SageMaker endpoint with two variants is: its names, its shares, and whether it is at rest.

Pure: what boto3 answers goes in, what is to be asked for comes out. Not here: asking (`endpoint`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from edge_contract.errors import EdgewiseError, UsageError
from edge_contract.visible import visible

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
NAME: Final = r"[A-Za-z0-9](?:-?[A-Za-z0-9]){0,40}"
"""Of an endpoint: SageMaker takes 63 characters, of which the names of its models and configuration need some."""
_IMAGE: Final = r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?/[a-z0-9._/-]+(?::[\w.-]+)?@sha256:[0-9a-f]{64}"
_DATA: Final = r"s3://[a-z0-9.-]{3,63}/[\w!.*'()/=-]{1,900}\.tar\.gz"
_ROLE: Final = r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,500}"
_INSTANCE: Final = r"ml\.[a-z0-9-]+\.[a-z0-9]+"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `create` is given; checked here before anything is made."""

    name: str
    image: str
    champion: str
    challenger: str
    role: str
    instance: str
    instances: int
    share: float
    """The challenger's, in percent."""

    def __post_init__(self) -> None:
        """Refuse what SageMaker would refuse only after half of it is made.

        Raises:
            UsageError: a value cannot be used.
        """
        for what, value, pattern, such in (
            ("endpoint", self.name, NAME, "faces"),
            ("image", self.image, _IMAGE, "123456789012.dkr.ecr.eu-central-1.amazonaws.com/edgewise-serve@sha256:…"),
            ("champion", self.champion, _DATA, "s3://bucket/emotion-5/model.tar.gz"),
            ("challenger", self.challenger, _DATA, "s3://bucket/emotion-6/model.tar.gz"),
            ("role", self.role, _ROLE, "arn:aws:iam::123456789012:role/serve"),
            ("instance type", self.instance, _INSTANCE, "ml.c5.large"),
        ):
            if not re.fullmatch(pattern, value, re.ASCII):
                raise UsageError(f"{visible(value)} cannot be the {what}", remedy=f"give one such as {such}")
        if not 1 <= self.instances <= 100:
            raise UsageError(f"{self.instances} instances of a variant cannot be had", remedy="give 1 to 100")
        weights(self.share)

    def models(self) -> dict[str, str]:
        """The package of each model, by the model's name."""
        return {f"{self.name}-{CHAMPION}": self.champion, f"{self.name}-{CHALLENGER}": self.challenger}

    def variants(self) -> list[dict[str, Any]]:
        """As `create_endpoint_config` takes them."""
        return [
            {
                "VariantName": variant,
                "ModelName": f"{self.name}-{variant}",
                "InstanceType": self.instance,
                "InitialInstanceCount": self.instances,
                "InitialVariantWeight": weight,
                "ContainerStartupHealthCheckTimeoutInSeconds": 120,
            }
            for variant, weight in weights(self.share).items()
        ]


def weights(share: float) -> dict[str, float]:
    """The weight of each variant, where the challenger is to get this share in percent.

    Raises:
        UsageError: it is no share.
    """
    if not 0 <= share <= 100:
        raise UsageError(f"{share:g} % is no share of the requests", remedy="give 0 to 100")
    return {CHAMPION: 100 - share, CHALLENGER: share}


def shares(described: Mapping[str, Any]) -> dict[str, float]:
    """The share of each variant in percent, from what `describe_endpoint` answers.

    Raises:
        EdgewiseError: it is not an endpoint of these two variants.
    """
    found = {
        each["VariantName"]: float(each.get("CurrentWeight") or 0) for each in described.get("ProductionVariants", [])
    }
    if found.keys() != {CHAMPION, CHALLENGER}:
        raise EdgewiseError(
            f"the endpoint {described['EndpointName']} has the variants {', '.join(sorted(found)) or 'none'}",
            remedy=f"name one of {CHAMPION} and {CHALLENGER}, as `create` makes it",
        )
    everything = sum(found.values())
    return {name: 100 * weight / everything if everything else 0.0 for name, weight in found.items()}


def at_rest(described: Mapping[str, Any]) -> bool:
    """Whether SageMaker has done what it was told.

    Raises:
        EdgewiseError: it could not.
    """
    status = described["EndpointStatus"]
    if status in ("Failed", "UpdateRollbackFailed", "OutOfService"):
        reason = visible(str(described.get("FailureReason", "no reason given")))
        raise EdgewiseError(
            f"the endpoint {described['EndpointName']} is {status} ({reason})",
            remedy="read its log group /aws/sagemaker/Endpoints, then delete it and create it again",
        )
    return bool(status == "InService")
