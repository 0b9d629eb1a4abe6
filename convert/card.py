"""MODEL_CARD.md: what a person should know before running the model, written from its manifest and nothing else."""

from edge_contract.manifest import ModelManifest, Score


def render(manifest: ModelManifest, *, per_class: dict[str, float], method: str, macs: int) -> str:
    """The card's Markdown. `per_class`: recall of the int8 model by label; `method`: ptq or qat."""
    return (
        "\n\n".join(
            part
            for part in (
                f"# {manifest.name} {manifest.release}",
                manifest.intended_use,
                _facts(manifest, method, macs),
                _accuracy(manifest, per_class),
                _gate(manifest),
                f"## Data and licence\n\n{manifest.caveat}" if manifest.caveat else "",
                _input(manifest),
                _lineage(manifest),
            )
            if part
        )
        + "\n"
    )


def _facts(manifest: ModelManifest, method: str, macs: int) -> str:
    how = {"ptq": "post-training quantization", "qat": "quantization-aware training"}.get(method, method)
    rows = [
        ("file", f"{manifest.size:,} bytes, sha256 `{manifest.digest}`"),
        ("labels, in output order", ", ".join(manifest.labels)),
        (
            "quantization",
            f"{manifest.quantization} by {how}, uint8 in and out" if manifest.quantization == "int8" else "none",
        ),
        ("cost of one answer", f"{macs / 1e6:.1f} million multiply-accumulates"),
        ("budget on a device", f"{1000 * manifest.budget.latency:g} ms, {manifest.budget.memory / 2**20:g} MiB"),
    ]
    return _table(("", ""), rows)


def _accuracy(manifest: ModelManifest, per_class: dict[str, float]) -> str:
    if manifest.accuracy is None:
        return "## Accuracy\n\nNot measured."
    int8 = manifest.accuracy.int8
    lines = [
        "## Accuracy",
        f"On {int8.dataset}, split `{int8.split}`, labels of {int8.label_set}, n = {int8.n}; "
        "one crop, one pass, 95 % Wilson interval.",
        _table(("model", "accuracy"), [("float", _score(manifest.accuracy.float)), ("int8 (this file)", _score(int8))]),
    ]
    if per_class:
        lines += [
            _table(("label", "recall, int8"), [(label, f"{100 * value:.1f} %") for label, value in per_class.items()])
        ]
    return "\n\n".join(lines)


def _gate(manifest: ModelManifest) -> str:
    if manifest.gate is None:
        return ""
    names = ("accuracy_drop", "agreement", "mean_difference", "mcnemar", "ece_rise", "skew_agreement")
    found = [(name, value) for name in names if isinstance(value := manifest.gate.checks.get(name), float)]
    verdict = "passed" if manifest.gate.passed else "REFUSED: " + "; ".join(manifest.gate.reasons)
    rows = [(name.replace("_", " "), f"{value:.4g}") for name, value in found]
    return f"## Gate\n\n{verdict}\n\n" + _table(("int8 against float", "found"), rows)


def _input(manifest: ModelManifest) -> str:
    image, crop = manifest.input, manifest.crop
    square = (
        f"The square of {crop.margin:g} times the face box's longer side, its centre {crop.shift_y:g} of the square "
        "below the box's."
        if crop.around == "face"
        else "The central square of the whole picture; no face is searched."
    )
    return (
        f"## Input\n\n{image.dtype} {list(image.shape)}, {image.color}, pixels 0 to 255 as they are: rescaling is "
        f"inside the model. {square}"
    )


def _lineage(manifest: ModelManifest) -> str:
    lineage = manifest.lineage
    rows = [
        ("commit", lineage.git_commit),
        ("parameters, sha256", lineage.params),
        ("pipeline lock, sha256", lineage.dvc_lock),
        ("data set, digest", lineage.dataset),
        ("MLflow run", lineage.mlflow_run),
        ("trained on", lineage.trained_on),
    ]
    return "## Lineage\n\n" + _table(("", ""), [(name, value or "not known") for name, value in rows])


def _score(score: Score) -> str:
    return f"{100 * score.accuracy:.2f} % [{100 * score.low:.2f}, {100 * score.high:.2f}]"


def _table(headings: tuple[str, str], rows: list[tuple[str, str]]) -> str:
    lines = [f"| {headings[0]} | {headings[1]} |", "|---|---|"]
    return "\n".join(lines + [f"| {name} | {value} |" for name, value in rows])
