"""`edgewise-agent`: the device's command line. argparse only, and each command imports what it needs when it runs."""

# ruff: noqa: T201  # printing is what a command line is for

import argparse
import contextlib
import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn

from edge_contract.command_end import command
from edge_contract.errors import EdgewiseError, ExitCode
from edge_contract.visible import visible, visible_lines

_CONFIG: Final = Path("/etc/edgewise/agent.toml")


@command("edgewise-agent")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = _parser().parse_args(arguments)
    chosen: Callable[[argparse.Namespace], int] = options.command
    return chosen(options)


class _Version(argparse.Action):
    """Reads the version when it is asked for: finding it costs a third of a health check's time."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from edge_contract.version import version  # noqa: PLC0415

        print(version())
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edgewise-agent", description="Runs an Edgewise model on this device.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and end")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, default=_CONFIG, help=f"settings file (default: {_CONFIG})")

    run = commands.add_parser("run", parents=[common], help="look, classify and publish until stopped")
    run.add_argument("--log-format", choices=("auto", "json", "text"), help="instead of log.format of the settings")
    run.set_defaults(command=_run)

    doctor = commands.add_parser("doctor", parents=[common], help="is this device fit to run? one line a check")
    doctor.add_argument("--json", action="store_true", help="one JSON object a check")
    doctor.set_defaults(command=_doctor)

    selftest = commands.add_parser("selftest", parents=[common], help="run the model's known inputs on this board")
    selftest.add_argument("--package", type=Path, help="a .ewm, instead of the model that would run here")
    selftest.set_defaults(command=_selftest)

    status = commands.add_parser("status", parents=[common], help="what runs here and what waits to be sent")
    status.add_argument("--json", action="store_true", help="one JSON object")
    status.add_argument("--check", action="store_true", help="say nothing; exit status 0 if a healthy agent runs")
    status.set_defaults(command=_status)

    hold = commands.add_parser("hold", parents=[common], help="keep the model that runs: new ones wait until `resume`")
    hold.add_argument("--until", metavar="TIME", help="90m, 12h, 3d, or a local time such as 2026-12-24T18:00")
    hold.add_argument("--reason", metavar="TEXT", default="", help="for those who wait; it is reported")
    hold.set_defaults(command=_hold)

    resume = commands.add_parser("resume", parents=[common], help="end a hold: what waited is run")
    resume.set_defaults(command=_resume)

    bench = commands.add_parser("bench", parents=[common], help="what the model costs here: ms a stage, CPU, memory")
    bench.add_argument("--package", type=Path, help="a .ewm, instead of the model that would run here")
    bench.add_argument("--face-detector", type=Path, help="YuNet's ONNX file, instead of model.face_detector")
    looks = bench.add_mutually_exclusive_group()
    looks.add_argument("--source", help="camera index, URL or clip, instead of the built-in picture of a drawn face")
    looks.add_argument("--camera", action="store_true", help="the source of the settings")
    bench.add_argument("--seconds", type=float, default=10.0, help="of each of two runs (default: %(default)g)")
    bench.add_argument("--json", action="store_true", help="one JSON object")
    bench.set_defaults(command=_bench)

    cameras = commands.add_parser("cameras", help="the cameras that this machine shows")
    cameras.set_defaults(command=_cameras)

    look = commands.add_parser("look", help="what the model says of a picture, a folder or a clip; needs no broker")
    look.add_argument("source", help="a picture, a folder of pictures or a video file")
    look.add_argument("--package", type=Path, required=True, help="the model's .ewm")
    look.add_argument("--face-detector", type=Path, help="YuNet's ONNX file; OpenCV's Haar cascade otherwise")
    look.set_defaults(command=_look)
    return parser


def _run(options: argparse.Namespace) -> int:
    from edge_agent.system import logs, native_output  # noqa: PLC0415
    from edge_contract import process_memory  # noqa: PLC0415

    process_memory.share_one_heap()
    from edge_agent.agent import Agent  # noqa: PLC0415
    from edge_agent.settings_file import SettingsFile  # noqa: PLC0415
    from edge_agent.system.systemd import ServiceManager  # noqa: PLC0415
    from edge_contract.public_url import without_secrets  # noqa: PLC0415

    file = SettingsFile(options.config)
    settings = file.read()
    log = settings.log
    if options.log_format is not None:
        log = dataclasses.replace(log, format=options.log_format)
    secret = [settings.source.url]
    logs.set_up(log, native_output.capture(lambda line: without_secrets(line, secret)))
    agent = Agent(settings, manager=ServiceManager(os.environ), file=file)
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda _number, _frame: agent.stop())
    signal.signal(signal.SIGHUP, lambda _number, _frame: agent.reload())
    process_memory.forget_start_up()
    summary = agent.run()
    print(json.dumps(dataclasses.asdict(summary)), flush=True)  # the run's last line, for programs
    return ExitCode.OK


def _doctor(options: argparse.Namespace) -> int:
    import logging  # noqa: PLC0415

    from edge_agent import settings_file  # noqa: PLC0415
    from edge_agent.tools import doctor  # noqa: PLC0415

    marks = {"ok": "ok     ", "warning": "warning", "failed": "FAILED "}
    logging.getLogger("edge_agent").setLevel(logging.CRITICAL)  # the findings say it all
    settings = settings_file.load(options.config)
    failed = False
    with _cleaned(settings.source.url):
        for finding in doctor.examine(settings):
            failed = failed or finding.outcome == "failed"
            if options.json:
                print(json.dumps(dataclasses.asdict(finding)), flush=True)
                continue
            remedy = f" -> {finding.remedy}" if finding.remedy else ""
            _say(f"{marks[finding.outcome]} {finding.check:<13} {visible(finding.text + remedy)}")
    return ExitCode.ERROR if failed else ExitCode.OK


def _selftest(options: argparse.Namespace) -> int:
    from edge_agent import settings_file  # noqa: PLC0415
    from edge_agent.models import selftest  # noqa: PLC0415
    from edge_agent.tools import status  # noqa: PLC0415

    if options.package is not None:
        model = status.model_of(options.package)
    else:
        model = status.model_required(settings_file.load(options.config))
    verdict = selftest.run_unstaged(model)
    _say(selftest.in_words(model, verdict))
    return ExitCode.OK if verdict.passed else ExitCode.ERROR


def _hold(options: argparse.Namespace) -> int:
    from edge_agent import settings_file  # noqa: PLC0415
    from edge_agent.update import hold  # noqa: PLC0415

    held = hold.of(options.until, options.reason, time.time())
    hold.write(settings_file.load(options.config).device.state_dir, held)
    _say(f"held {visible(str(held))}; `edgewise-agent resume` ends it")
    return ExitCode.OK


def _resume(options: argparse.Namespace) -> int:
    from edge_agent import settings_file  # noqa: PLC0415
    from edge_agent.update import hold  # noqa: PLC0415

    ended = hold.take_back(settings_file.load(options.config).device.state_dir)
    _say("the hold is over" if ended else "nothing was held")
    return ExitCode.OK


def _bench(options: argparse.Namespace) -> int:
    from edge_agent import settings_file  # noqa: PLC0415
    from edge_agent.settings import Settings  # noqa: PLC0415
    from edge_agent.tools import bench_report, status  # noqa: PLC0415

    # With a package there is nothing that has to be configured.
    unconfigured = options.package is not None and not options.camera and not options.config.exists()
    settings = Settings() if unconfigured else settings_file.load(options.config)
    if options.source is not None:
        settings = dataclasses.replace(settings, source=dataclasses.replace(settings.source, url=options.source))
    if options.face_detector is not None:
        model = dataclasses.replace(settings.model, face_detector=options.face_detector)
        settings = dataclasses.replace(settings, model=model)
    with _cleaned(settings.source.url):
        found = bench_report.measure(
            settings,
            status.model_required(settings) if options.package is None else status.model_of(options.package),
            built_in=options.source is None and not options.camera,
            seconds=options.seconds,
            progress=bench_report.to_stderr,
        )
    if options.json:
        print(json.dumps({**dataclasses.asdict(found), "fit": not found.complaints}))
    else:
        _say("\n".join(bench_report.lines(found)))
    return ExitCode.ERROR if found.complaints else ExitCode.OK


def _status(options: argparse.Namespace) -> int:
    from edge_agent import settings_file  # noqa: PLC0415

    if options.check:  # a health check runs every half minute: it loads nothing more
        from edge_agent.system import liveness  # noqa: PLC0415

        trouble = liveness.trouble(settings_file.load(options.config).device.state_dir, time.time())
        if trouble:
            raise EdgewiseError(trouble)
        return ExitCode.OK
    from edge_agent.tools import status  # noqa: PLC0415

    found = dataclasses.asdict(status.read(settings_file.load(options.config)))
    if options.json:
        print(json.dumps(found))
        return ExitCode.OK
    for name, value in found.items():
        _say(f"{name.replace('_', ' '):<12} {visible(str(value or '-'))}")
    return ExitCode.OK


def _cameras(_options: argparse.Namespace) -> int:
    from edge_agent.camera.opencv import list_cameras  # noqa: PLC0415

    found = list_cameras()
    for camera in found:
        _say(f"{visible(camera.url):<14} {visible(camera.name)}")
    if not found:
        raise EdgewiseError(
            "no camera is seen", remedy="plug one in, or check `ls -l /dev/video*` and the group `video`"
        )
    return ExitCode.OK


def _look(options: argparse.Namespace) -> int:
    from edge_agent.camera.open import open_source  # noqa: PLC0415
    from edge_agent.camera.settings import SourceSettings  # noqa: PLC0415
    from edge_agent.inference.settings import PipelineSettings  # noqa: PLC0415
    from edge_agent.models import selftest  # noqa: PLC0415
    from edge_agent.tools import predict, status  # noqa: PLC0415
    from edge_vision.faces import open_detector  # noqa: PLC0415
    from edge_vision.patience import BoundedClassifier  # noqa: PLC0415

    model = status.model_of(options.package)
    with _cleaned(options.source):
        source = open_source(SourceSettings(url=options.source, pace="fast"))
        detector = open_detector(options.face_detector)
        verdict = selftest.require_survival(model)
        if not verdict.passed:
            print(f"edgewise-agent: {visible(selftest.in_words(model, verdict))}", file=sys.stderr)
        summary = predict.look(
            source,
            detector,
            BoundedClassifier(model.model, model.manifest, command="edgewise-agent"),
            PipelineSettings(),
            on_line=_say,
            on_error=lambda text: print(f"edgewise-agent: {visible(text)}", file=sys.stderr),
        )
    _say(f"frames {summary.frames}, faces {summary.faces}, errors {summary.errors}")
    return ExitCode.OK


def _cleaned(url: str) -> contextlib.AbstractContextManager[None]:
    """What libraries print of the source's address, without what is secret in it."""
    from edge_agent.system import native_output  # noqa: PLC0415
    from edge_contract.public_url import without_secrets  # noqa: PLC0415

    return native_output.cleaned(lambda line: without_secrets(line, [url]))


def _say(text: str) -> None:
    """Lines for people."""
    print(visible_lines(text), flush=True)
