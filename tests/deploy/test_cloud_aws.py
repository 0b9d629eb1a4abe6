"""deploy/aws: the templates make what they say; the driver makes, shifts and deletes an endpoint. On moto's server."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import boto3
import httpx
import pytest
import yaml
from moto.server import ThreadedMotoServer

from deploy.aws import endpoint as command
from deploy.aws.endpoint import Endpoint
from deploy.aws.variants import Wanted, at_rest, shares, weights
from edge_contract.errors import EdgewiseError, UsageError

FOLDER: Final = Path(__file__).resolve().parents[2] / "deploy" / "aws"
REGION: Final = "eu-central-1"
IMAGE: Final = f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/edgewise-serve@sha256:{'a' * 64}"
WANTED: Final = Wanted(
    name="faces",
    image=IMAGE,
    champion="s3://models/emotion-5/model.tar.gz",
    challenger="s3://models/emotion-6/model.tar.gz",
    role="arn:aws:iam::123456789012:role/serve",
    instance="ml.c5.large",
    instances=1,
    share=0,
)


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """The address of a moto server of these tests' own."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def sagemaker(aws: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of an account with nothing in it; what the command makes for itself goes there too."""
    for name, value in {
        "AWS_ENDPOINT_URL": aws, "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    httpx.post(f"{aws}/moto-api/reset", timeout=10)
    return boto3.client("sagemaker")


def _left(sagemaker: Any) -> tuple[list[str], list[str], list[str]]:
    return (
        [each["EndpointName"] for each in sagemaker.list_endpoints()["Endpoints"]],
        [each["EndpointConfigName"] for each in sagemaker.list_endpoint_configs()["EndpointConfigs"]],
        sorted(each["ModelName"] for each in sagemaker.list_models()["Models"]),
    )


def test_an_endpoint_is_made_described_shifted_and_deleted_with_all_that_belongs_to_it(sagemaker: Any) -> None:
    endpoint = Endpoint(sagemaker, WANTED.name, look_s=0.01)
    endpoint.create(WANTED)
    assert _left(sagemaker) == (["faces"], ["faces"], ["faces-challenger", "faces-champion"])
    assert sagemaker.describe_model(ModelName="faces-challenger")["PrimaryContainer"] == {
        "Image": IMAGE, "ModelDataUrl": WANTED.challenger
    }  # fmt: skip
    assert endpoint.describe() == {
        "endpoint": "faces", "status": "InService", "share": {"champion": 100, "challenger": 0}
    }  # fmt: skip
    for share in (10, 33.5, 100, 0):
        endpoint.shift(share)
        assert endpoint.describe()["share"] == {"champion": 100 - share, "challenger": share}
    endpoint.delete()
    assert _left(sagemaker) == ([], [], [])
    endpoint.delete()  # nothing left to delete is no error


def test_what_was_made_before_a_refusal_is_gone_again(sagemaker: Any) -> None:
    with pytest.raises(EdgewiseError, match=r"the endpoint faces was not made \(.*ml\.zz9\.large"):
        Endpoint(sagemaker, "faces", look_s=0.01).create(replace(WANTED, instance="ml.zz9.large"))
    assert _left(sagemaker) == ([], [], [])


@pytest.mark.parametrize("share", [-1, 100.5, float("nan")])
def test_a_share_that_is_none_changes_nothing(sagemaker: Any, share: float) -> None:
    endpoint = Endpoint(sagemaker, "faces", look_s=0.01)
    endpoint.create(replace(WANTED, share=20))
    with pytest.raises(UsageError, match="is no share of the requests"):
        endpoint.shift(share)
    assert endpoint.describe()["share"]["challenger"] == 20


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "-faces"),
        ("name", "f" * 42),
        ("image", "123456789012.dkr.ecr.eu-central-1.amazonaws.com/edgewise-serve:latest"),
        ("champion", "https://models/model.tar.gz"),
        ("challenger", "s3://models/emotion-5.ewm"),
        ("role", "serve"),
        ("instance", "c7i.large"),
        ("instances", 0),
        ("share", 101),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_made(field: str, value: object) -> None:
    with pytest.raises(UsageError):
        replace(WANTED, **{field: value})  # type: ignore[arg-type]


def test_the_command_shows_what_it_did_and_names_what_is_not_there(
    sagemaker: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [
        "create", "--name=faces", f"--image={IMAGE}", f"--champion={WANTED.champion}",
        f"--challenger={WANTED.challenger}", f"--role={WANTED.role}", "--share=5",
    ]  # fmt: skip
    assert command.main(made) == 0
    assert '"share": {"champion": 95.0, "challenger": 5.0}' in capsys.readouterr().out
    assert command.main(["shift", "50", "--name=faces"]) == 0
    assert '"challenger": 50.0' in capsys.readouterr().out
    assert command.main(["delete", "--name=faces"]) == 0
    assert command.main(["show", "--name=faces"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("deploy.aws.endpoint: the endpoint faces cannot be looked at (")
    assert said.count("\n") == 1


def test_an_endpoint_with_other_variants_is_not_shifted() -> None:
    with pytest.raises(EdgewiseError, match="has the variants blue"):
        shares({"EndpointName": "e", "ProductionVariants": [{"VariantName": "blue", "CurrentWeight": 1}]})


@pytest.mark.parametrize("status", ["Failed", "OutOfService", "UpdateRollbackFailed"])
def test_a_failed_endpoint_is_not_waited_for_and_its_reason_is_on_one_line(status: str) -> None:
    with pytest.raises(EdgewiseError, match=r"no.+memory") as refused:
        at_rest({"EndpointName": "e", "EndpointStatus": status, "FailureReason": "no\nmemory"})
    assert "\n" not in str(refused.value)
    assert not at_rest({"EndpointName": "e", "EndpointStatus": "Updating"})


def test_weights_are_percent() -> None:
    assert weights(12.5) == {"champion": 87.5, "challenger": 12.5}


class _Template(yaml.SafeLoader):
    """CloudFormation's YAML with `!Ref` and `!GetAtt` replaced by what is given."""


def _resolved(template: str, given: dict[str, str]) -> dict[str, Any]:
    def reference(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
        return given.get(str(loader.construct_scalar(node)), str(node.value))

    _Template.add_constructor("!Ref", reference)
    _Template.add_constructor("!GetAtt", lambda _, node: given.get(node.value, node.value))
    _Template.add_constructor("!Sub", lambda _, node: node.value)
    resources = yaml.load((FOLDER / template).read_text(), _Template)["Resources"]  # noqa: S506  # a SafeLoader
    return {name: resource["Properties"] for name, resource in resources.items()}


def test_what_the_template_declares_is_what_sagemaker_takes_and_the_driver_shifts(sagemaker: Any) -> None:
    given: dict[str, Any] = {
        "Image": IMAGE, "ChampionData": WANTED.champion, "ChallengerData": WANTED.challenger, "ChampionWeight": 90,
        "ChallengerWeight": 10, "InstanceType": WANTED.instance, "InstanceCount": 1, "Role.Arn": WANTED.role,
        "Champion.ModelName": "one", "Challenger.ModelName": "two", "EndpointConfig.EndpointConfigName": "faces",
    }  # fmt: skip
    parts = _resolved("sagemaker.yaml", given)
    # botocore refuses a name or a type that SageMaker does not have.
    sagemaker.create_model(ModelName="one", **parts["Champion"])
    sagemaker.create_model(ModelName="two", **parts["Challenger"])
    sagemaker.create_endpoint_config(EndpointConfigName="faces", **parts["EndpointConfig"])
    parts["Endpoint"].pop("RetainAllVariantProperties")  # of updates alone
    sagemaker.create_endpoint(EndpointName="faces", **parts["Endpoint"])
    endpoint = Endpoint(sagemaker, "faces", look_s=0.01)
    assert endpoint.describe()["share"] == {"champion": 90, "challenger": 10}
    endpoint.shift(25)
    assert endpoint.describe()["share"]["challenger"] == 25


@pytest.mark.slow  # seconds, to load its schemas
@pytest.mark.parametrize("template", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_cfn_lint_finds_nothing_in_a_template(template: Path) -> None:
    program = shutil.which("cfn-lint", path=str(Path(sys.executable).parent)) or shutil.which("cfn-lint")
    if program is None:
        pytest.skip("cfn-lint is not installed")
    done = subprocess.run([program, template], capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stdout) == (0, "")
