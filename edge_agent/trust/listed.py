"""What the release side vouches for, as verified by the child (`verify`) and kept by the agent: plain data, no keys."""

from msgspec import Struct

from edge_agent.trust.evidence import KeyIds
from edge_contract.errors import TrustError
from edge_contract.messages import Count, ModelRef, Seconds
from edge_contract.trust import ListedRelease


class TrustedMetadata(Struct, frozen=True, kw_only=True):
    """The listed releases, and how long the list holds."""

    version: Count
    """The timestamp's."""
    expires: Seconds
    """When the first of it expires, seconds since 1970."""
    issued: Count = 0
    """When the timestamp was signed, seconds since 1970; 0 where it does not say."""
    signers: KeyIds = ()
    """Ids of the keys that signed the timestamp."""
    releases: dict[str, ListedRelease | str]
    """By `NAME/RELEASE`; a text is why that one cannot be fetched by this version."""

    def release(self, model: ModelRef) -> ListedRelease:
        """The listed release of a model.

        Raises:
            TrustError: it is not listed, cannot be fetched, or the desired state names another model than the list.
        """
        name = f"{model.name} {model.release}"
        listed = self.releases.get(f"{model.name}/{model.release}")
        if listed is None:
            raise TrustError(f"{name} is not among the listed releases (never released, or withdrawn): refused.")
        if isinstance(listed, str):
            raise TrustError(listed)
        if listed.model != model.digest:
            raise TrustError(f"the desired state of {name} names another model than the signed list does: refused.")
        return listed
