"""`python -m deploy.aws.endpoint`: a SageMaker endpoint of champion and challenger made, looked at, shifted, deleted.

What is half made when SageMaker refuses the rest is deleted again, so `create` can be tried again. Needs boto3 and the
checkout, nothing else; who it is, and the region, are boto3's own affair (environment, profile, instance). Every wait
is bounded. Not here: what the shares are worth; the metrics of both variants say that (docs/cloud.md).
"""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from deploy.aws.variants import CHALLENGER, Wanted, at_rest, shares, weights
from edge_contract.command_end import command
from edge_contract.errors import EdgewiseError
from edge_contract.visible import visible

_LOOK_S: Final = 10.0
_PATIENCE_S: Final = 1800.0  # SageMaker starts instances for minutes


class Endpoint:
    """One endpoint by name."""

    def __init__(self, sagemaker: Any, name: str, *, look_s: float = _LOOK_S, patience_s: float = _PATIENCE_S) -> None:
        """`sagemaker`: boto3's client. It is looked at every `look_s` and waited for `patience_s` at most."""
        self._sagemaker, self._name, self._look_s, self._patience_s = sagemaker, name, look_s, patience_s

    def create(self, wanted: Wanted) -> None:
        """Two models, their configuration, the endpoint; waits until it serves.

        Raises:
            EdgewiseError: SageMaker refused a part, and what was made before it is gone again; or the endpoint failed.
        """
        undo: list[Callable[[], Any]] = []
        try:
            for model, data in wanted.models().items():
                self._sagemaker.create_model(
                    ModelName=model,
                    ExecutionRoleArn=wanted.role,
                    EnableNetworkIsolation=True,
                    PrimaryContainer={"Image": wanted.image, "ModelDataUrl": data},
                )
                undo.append(partial(self._sagemaker.delete_model, ModelName=model))
            self._sagemaker.create_endpoint_config(EndpointConfigName=self._name, ProductionVariants=wanted.variants())
            undo.append(partial(self._sagemaker.delete_endpoint_config, EndpointConfigName=self._name))
            self._sagemaker.create_endpoint(EndpointName=self._name, EndpointConfigName=self._name)
        except (ClientError, BotoCoreError) as error:
            for step in reversed(undo):
                with contextlib.suppress(ClientError, BotoCoreError):  # `delete` finds what stays
                    step()
            raise _refused(f"the endpoint {self._name} was not made", error) from error
        self._until_at_rest()

    def describe(self) -> dict[str, Any]:
        """Its status, and each variant's share in percent.

        Raises:
            EdgewiseError: there is none of this name and with these variants.
        """
        described = self._described()
        return {"endpoint": self._name, "status": described["EndpointStatus"], "share": shares(described)}

    def shift(self, share: float) -> None:
        """Give the challenger this share of the requests, in percent; waits until it has it.

        Raises:
            UsageError: it is no share; nothing was asked for.
            EdgewiseError: there is no such endpoint, or SageMaker refused.
        """
        wanted = weights(share)
        self.describe()
        try:
            self._sagemaker.update_endpoint_weights_and_capacities(
                EndpointName=self._name,
                DesiredWeightsAndCapacities=[
                    {"VariantName": variant, "DesiredWeight": weight} for variant, weight in wanted.items()
                ],
            )
        except ClientError as error:
            raise _refused(f"the shares of {self._name} were not changed", error) from error
        self._until_at_rest()
        found = shares(self._described())[CHALLENGER]
        if abs(found - share) > 0.01:
            raise EdgewiseError(
                f"the challenger of {self._name} has {found:g} % of the requests, not {share:g} %",
                remedy="somebody else shifted it meanwhile: look, and shift again",
            )

    def delete(self) -> None:
        """The endpoint, its configuration and its models; what is gone already is no error.

        Raises:
            EdgewiseError: SageMaker refused; run again, it goes on where it was.
        """
        delete: list[tuple[str, Callable[[], Any]]] = [
            ("endpoint", partial(self._sagemaker.delete_endpoint, EndpointName=self._name)),
            ("configuration", partial(self._sagemaker.delete_endpoint_config, EndpointConfigName=self._name)),
        ]
        for variant in weights(0):
            model = f"{self._name}-{variant}"
            delete.append(("model", partial(self._sagemaker.delete_model, ModelName=model)))
        for what, call in delete:
            try:
                call()
            except ClientError as error:
                if not _is_absent(error):
                    raise _refused(f"the {what} of {self._name} was not deleted", error) from error

    def _described(self) -> dict[str, Any]:
        try:
            described: dict[str, Any] = self._sagemaker.describe_endpoint(EndpointName=self._name)
        except ClientError as error:
            raise _refused(f"the endpoint {self._name} cannot be looked at", error) from error
        return described

    def _until_at_rest(self) -> None:
        end = time.monotonic() + self._patience_s
        while not at_rest(self._described()):
            if time.monotonic() > end:
                raise EdgewiseError(
                    f"the endpoint {self._name} is not ready after {self._patience_s:g} s",
                    remedy="look again later with `show`, or delete it",
                )
            time.sleep(self._look_s)


def _is_absent(error: ClientError) -> bool:
    message = error.response["Error"].get("Message", "").lower()
    return "could not find" in message or "does not exist" in message


def _refused(problem: str, error: ClientError | BotoCoreError) -> EdgewiseError:
    reason = visible(str(error))[:500]
    return EdgewiseError(f"{problem} ({reason})", remedy="mend what it names, and run this again")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.aws.endpoint", description="A SageMaker endpoint of champion and challenger."
    )
    parser.add_argument("--region", help="boto3's own when absent")
    verbs = parser.add_subparsers(dest="verb", required=True)
    create = verbs.add_parser("create", help="two models, a configuration and the endpoint")
    create.add_argument("--image", required=True, help="in ECR, with its digest")
    create.add_argument("--champion", required=True, help="its package on S3, as model.tar.gz")
    create.add_argument("--challenger", required=True, help="the same of the other")
    create.add_argument("--role", required=True, help="that the endpoint has, as an ARN")
    create.add_argument("--instance", default="ml.c5.large")
    create.add_argument("--instances", type=int, default=1, help="of each variant")
    create.add_argument("--share", type=float, default=0.0, help="the challenger's, in percent")
    verbs.add_parser("show", help="status and shares, as JSON")
    shift = verbs.add_parser("shift", help="give the challenger a share of the requests")
    shift.add_argument("share", type=float, help="in percent")
    verbs.add_parser("delete", help="endpoint, configuration and models")
    for verb in verbs.choices.values():
        verb.add_argument("--name", required=True, help="of the endpoint")
    return parser


@command("deploy.aws.endpoint")
def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    given = _parser().parse_args(arguments)
    wanted = None
    if given.verb == "create":
        wanted = Wanted(
            name=given.name, image=given.image, champion=given.champion, challenger=given.challenger, role=given.role,
            instance=given.instance, instances=given.instances, share=given.share,
        )  # fmt: skip
    try:
        config = Config(connect_timeout=10, read_timeout=60, retries={"max_attempts": 5, "mode": "standard"})
        endpoint = Endpoint(boto3.client("sagemaker", region_name=given.region, config=config), given.name)
        if wanted is not None:
            endpoint.create(wanted)
        elif given.verb == "shift":
            endpoint.shift(given.share)
        if given.verb == "delete":
            endpoint.delete()
        else:
            print(json.dumps(endpoint.describe()))  # noqa: T201
    except BotoCoreError as error:
        raise EdgewiseError(f"AWS cannot be asked ({error})", remedy="check credentials and region") from error
    return 0


if __name__ == "__main__":
    sys.exit(main())
