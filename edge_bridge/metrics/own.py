"""What the bridge counts of its own work, in a registry that is passed in. Not here: the fleet (`exposition`)."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector


class BridgeMetrics:
    """One attribute a metric; made once a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.registry = registry
        self.messages = Counter("edgewise_bridge_messages", "Messages received, by kind.", ["kind"], registry=registry)
        self.refused = Counter(
            "edgewise_bridge_messages_refused", "Messages refused, by reason.", ["reason"], registry=registry
        )
        self.passed = Counter(
            "edgewise_bridge_limit_passed",
            "Names, sites, groups and changes of labels that passed a limit of [limits] and were not kept, by kind.",
            ["what"],
            registry=registry,
        )
        self.predictions = Counter(
            "edgewise_bridge_predictions_committed",
            "Predictions committed to the log; one that a device repeats counts again.",
            registry=registry,
        )
        self.forgotten = Counter(
            "edgewise_bridge_predictions_forgotten", "Predictions deleted by retention.", registry=registry
        )
        self.acknowledged = Counter(
            "edgewise_bridge_acknowledgements", "Acknowledgements sent to devices.", registry=registry
        )
        self.commits = Histogram(
            "edgewise_bridge_commit_duration_seconds",
            "Time a transaction of the prediction log took.",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
            registry=registry,
        )
        self.commit_failures = Counter(
            "edgewise_bridge_commit_failures", "Transactions that failed and are repeated.", registry=registry
        )
        self.connected = Gauge(
            "edgewise_bridge_broker_connected", "1 while the broker's connection stands.", registry=registry
        )
        self.writable = Gauge(
            "edgewise_bridge_database_writable", "1 while the last transaction succeeded.", registry=registry
        )
        self.scrape = Histogram(
            "edgewise_bridge_exposition_duration_seconds",
            "Time to write the fleet's metrics.",
            buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1),
            registry=registry,
        )
