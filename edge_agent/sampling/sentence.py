"""What is sampled for whom and until when, in one sentence: for the log, `status` and `doctor`."""

from datetime import UTC, datetime

from edge_agent.sampling.settings import SamplingSettings
from edge_contract.visible import visible


def in_words(settings: SamplingSettings, now: float) -> str:
    """`now`: seconds since 1970."""
    consent = settings.consent
    if not consent.stated:
        return "off: no consent is stated, and no picture leaves this device"
    by, until = visible(consent.by), _day(consent.until)
    if now >= consent.until:
        return f"off: the consent of {by} ended {until}"
    begins = f" from {_day(consent.given)} on" if now < consent.given else ""
    return (
        f"sealed crops are kept for labelling{begins} until {until} on the word of {by}, for: "
        f"{visible(consent.purpose)}; {_percent(settings.share)} of faces by chance, "
        f"{_percent(settings.uncertain_share)} of uncertain ones and {_percent(settings.disagreement_share)} of those "
        f"on which two models differ, at most {settings.per_minute} a minute, {settings.per_hour} an hour and "
        f"{settings.per_day} a day"
    )


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
