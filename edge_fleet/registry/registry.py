"""The model registry: which packages exist, which is challenger, which is champion.

Registering makes a package the challenger of its name, promoting makes it the champion. The store keeps no record of
who moved an alias, so a `Ledger` beside it does; the ledger's head stands in the store too, which shows a ledger cut
short.
"""

import os
from collections.abc import Callable

from edge_contract import package as packages
from edge_contract.errors import GateRefusedError, TrustError, UsageError
from edge_contract.manifest import digest_of
from edge_contract.package import ModelPackage
from edge_contract.this_user import user_name
from edge_fleet.registry.ledger import Entry, Ledger
from edge_fleet.registry.mlflow import CHAMPION, Store, Version


class Registry:
    """The packages of one store, and the ledger of their promotions."""

    def __init__(
        self, uri: str, ledger: Ledger, clock: Callable[[], float], actor: str = "", *, asked_again: bool = False
    ) -> None:
        """`uri`: of an MLflow store. `asked_again`: nothing waits for long, because who asks does so again.

        `actor`: who acts, for the ledger; the server's user or the operating system's when empty.

        Raises:
            UsageError: the address is no store's.
        """
        self.ledger, self._clock = ledger, clock
        self._actor = actor or os.environ.get("MLFLOW_TRACKING_USERNAME", "") or user_name()
        self._store = Store(uri, asked_again=asked_again)

    def register(self, package: ModelPackage) -> Version:
        """Make the package the challenger of its name; the same package again changes nothing.

        Raises:
            GateRefusedError: the gate did not pass it.
            UsageError: another package has this name and release.
            EdgewiseError: the store cannot be reached, or does not permit it.
        """
        manifest = package.manifest
        if manifest.gate is None or not manifest.gate.passed:
            raise GateRefusedError(f"{package.file_name} did not pass the gate and cannot be registered.")
        known = {version.release: version for version in self.versions(manifest.name)}
        if (there := known.get(manifest.release)) is not None:
            if there.tags.get("package") != digest_of(packages.write(package)):
                raise UsageError(
                    f"{manifest.name} {manifest.release} is registered as another package ({there.digest[:12]})",
                    remedy="package the model under the next release number",
                )
            return there
        version = self._store.add(package)
        self._record("register", manifest.name, manifest.release, manifest.digest, version)
        return self.get(manifest.name, manifest.release)

    def promote(self, name: str, release: int, reason: str = "") -> Version:
        """Make this release the champion of its name.

        Raises:
            UsageError: no such release is registered.
            GateRefusedError: its gate did not pass.
            TrustError: the ledger is broken; nothing was moved.
            EdgewiseError: the store does not permit it or cannot be reached; nothing was recorded.
        """
        chosen = self.get(name, release)
        if chosen.tags.get("gate") != "passed":
            raise GateRefusedError(f"{name} {release} did not pass the gate and cannot be champion.")
        self.history(name)  # a broken ledger is mended before anything more is promoted
        before = self.champion(name)
        self._store.make_champion(chosen)
        previous = {"before": str(before.release)} if before else {}
        why = {"reason": reason} if reason else {}
        self._record("promote", name, release, chosen.digest, chosen.version, **previous, **why)
        return self.get(name, release)

    def champion(self, name: str) -> Version | None:
        """The champion of a name; None before the first promotion."""
        return next((version for version in self.versions(name) if CHAMPION in version.aliases), None)

    def standing_champion(self, name: str) -> Version:
        """The champion, asked for often: two requests, whatever the number of releases.

        Raises:
            EdgewiseError: there is none, or it is none that Edgewise registered, or the store cannot be reached.
        """
        return self._store.champion(name)

    def package(self, version: Version) -> ModelPackage:
        """The registered package itself.

        Raises:
            EdgewiseError: the store does not give it.
            TrustError: it is not the one that was registered under this version.
        """
        return self._store.package(version)

    def versions(self, name: str = "") -> list[Version]:
        """Registered packages of one name or of all, oldest first.

        Raises:
            EdgewiseError: the store cannot be reached, or does not permit it.
        """
        return self._store.versions(name)

    def get(self, name: str, release: int) -> Version:
        """One registered package.

        Raises:
            UsageError: it is not registered; the text says what is.
        """
        found = self.versions(name)
        for version in found:
            if version.release == release:
                return version
        there = ", ".join(str(version.release) for version in found) or "none"
        raise UsageError(
            f"{name} {release} is not registered (releases there: {there})", remedy="see `edgewise registry ls`"
        )

    def version_of(self, package: ModelPackage) -> Version:
        """What is registered of this very package.

        Raises:
            UsageError: its name and release are not registered, or are another package's.
        """
        there = self.get(package.manifest.name, package.manifest.release)
        if there.tags.get("package") != digest_of(packages.write(package)):
            raise UsageError(
                f"{there.name} {there.release} is registered as another package ({there.digest[:12]})",
                remedy="see `edgewise registry ls`",
            )
        return there

    def find(self, text: str) -> Version:
        """The package whose model has this digest, or the start of it; or the one of this NAME-RELEASE.

        Raises:
            UsageError: none is, or several are: one file may be released twice, with another lineage each time.
        """
        name, _, release = text.rpartition("-")
        if name and release.isdecimal():
            return self.get(name, int(release))
        digest = text.lower().removeprefix("sha256:")
        if len(digest) < 6 or not set(digest) <= set("0123456789abcdef"):
            raise UsageError(
                f"{text!r} is no digest", remedy="give at least its first six hexadecimal digits, or NAME-RELEASE"
            )
        found = [version for version in self.versions() if version.digest.startswith(digest)]
        if len({version.digest for version in found}) > 1:
            raise UsageError(f"{len(found)} models start with {digest}", remedy="give more of the digest")
        if not found:
            raise UsageError(f"no registered model has the digest {digest}", remedy="see `edgewise registry ls`")
        if len(found) > 1:
            releases = [f"{version.name}-{version.release}" for version in found]
            raise UsageError(
                f"the model {digest} was released {len(found)} times: {', '.join(releases)}",
                remedy="name one of these in place of the digest",
            )
        return found[0]

    def history(self, name: str = "") -> list[Entry]:
        """The ledger's entries, of one name or all, oldest first.

        Raises:
            TrustError: the ledger's chain is broken, or its end is missing.
        """
        entries, heads = self.ledger.entries(), set(self.ledger.heads())
        for model, head in self._store.ledger_heads().items():
            if head not in heads:
                raise TrustError(
                    f"the ledger {self.ledger.path} lacks an entry that the registry knows of {model}: "
                    "its end was cut off or another ledger was named",
                    remedy="restore it from a backup, or name the right one with --ledger",
                )
        return [entry for entry in entries if not name or entry.subject.get("name") == name]

    def training_run(self, version: Version) -> dict[str, dict[str, str]] | None:
        """Parameters and last metrics of the run that trained it; None when this store does not have that run."""
        return self._store.training_run(version)

    def _record(self, action: str, name: str, release: int, digest: str, version: str, **more: str) -> None:
        subject = {"name": name, "release": str(release), "digest": digest, "version": version, **more}
        self.ledger.append(self._actor, action, subject, self._clock())
        self._store.keep_ledger_head(name, self.ledger.heads()[-1])
