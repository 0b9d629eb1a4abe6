"""Whether two models can be shown the same face of the same frame. Pure."""

from edge_contract.manifest import ModelManifest


def incomparable(champion: ModelManifest, challenger: ModelManifest) -> str:
    """Why nothing can be compared of these two; empty when all can. One sentence without its end."""
    if champion.crop.around != challenger.crop.around:
        return (
            f"the model that answers looks at each {champion.crop.around} and this one at each {challenger.crop.around}"
        )
    if champion.input.color == "gray" and challenger.input.color != "gray":
        # Frames are decoded to grey for the champion; decoding them to colours as well would cost it time.
        return "the model that answers is shown grey frames and this one takes colours"
    return ""
