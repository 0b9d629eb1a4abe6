"""`edgewise-serve`: the command line of the server."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_contract.command_end import command
from edge_contract.errors import UsageError
from edge_contract.log_lines import SERVICE, LogLines
from edge_contract.version import version
from edge_serve import settings


@command("edgewise-serve")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the return value is the exit status."""
    options = _parser().parse_args(arguments)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogLines(SERVICE))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    if options.command == "serve":
        cloud = settings.cloud(os.environ)
        places, listen = cloud.places, cloud.listen
    else:
        places, listen = (options.package,), options.listen
        if options.release is not None and (options.trust_root is None or options.source is None):
            raise UsageError(
                "a release is served from what is signed",
                remedy="give --trust-root (the release side's fleet/root.json) and --from (its folder, or a URL)",
            )
    chosen = settings.read(options.config, os.environ, listen=listen)
    # After the settings are known to be good: the interpreter's and OpenCV's packages take a second to load.
    from edge_serve import server  # noqa: PLC0415
    from edge_serve.model.source import PackageFile  # noqa: PLC0415

    if options.command == "run" and options.release is not None:
        from edge_serve.model.release import SignedRelease  # noqa: PLC0415  # TUF's packages take a second too

        return server.run(chosen, SignedRelease(options.release, options.trust_root, options.source))
    if options.command == "run" and options.model is not None:
        from edge_serve.model.registry import Champion  # noqa: PLC0415

        uri = options.source or os.environ.get("MLFLOW_TRACKING_URI", "")
        return server.run(chosen, Champion(options.model, uri, os.environ))
    return server.run(chosen, PackageFile(places))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgewise-serve", description="Answer pictures and tensors over HTTP with the model of a device."
    )
    parser.add_argument("--version", action="version", version=version())
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="serve until SIGTERM; SIGHUP looks for a new model at once")
    given = run.add_mutually_exclusive_group(required=True)
    given.add_argument("--package", type=Path, metavar="FILE", help="an .ewm package; its file is watched")
    given.add_argument("--model", metavar="NAME@ALIAS", help="the registry's model of this alias: emotion@champion")
    given.add_argument("--release", metavar="NAME/N", help="a signed release, such as emotion/5")
    run.add_argument(
        "--trust-root", type=Path, metavar="FILE", help="with --release: the release side's fleet/root.json"
    )
    run.add_argument(
        "--from",
        dest="source",
        metavar="FOLDER_OR_URL",
        help="with --release: the release side's folder, or its copy; with --model: the MLflow server "
        "(MLFLOW_TRACKING_URI)",
    )
    run.add_argument("--listen", metavar="HOST:PORT", help="the address (127.0.0.1:8080)")
    cloud = commands.add_parser(
        "serve",
        help="as SageMaker, Azure ML and Vertex AI start it: on 0.0.0.0:8080 or the port that the environment says, "
        "with the package in EDGEWISE_PACKAGE, AZUREML_MODEL_DIR or /opt/ml/model",
    )
    for each in (run, cloud):
        each.add_argument("--config", type=Path, metavar="FILE", help="settings as TOML; options win over it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
