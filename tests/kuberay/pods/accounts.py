"""The end of a load: what was acknowledged is in the log, and no answer was wrong."""

from tests.faults.audit import Audit
from tests.faults.outcome import sent_tags
from tests.kuberay.pods.kube import Kube, wait_for
from tests.kuberay.pods.load import Load
from tests.kuberay.pods.log_dump import log_values


def settle(kube: Kube, load: Load) -> None:
    """End the load; raises AssertionError if something was lost, or answered wrong."""
    result = load.finish()

    counters = result.report["counters"]
    assert counters["wrong"] == 0, result.report["wrong_answers"][:5]
    tags = list(sent_tags(result.options, result.outcomes))
    mine = {tag.body for tag in tags}
    log = [value for value in log_values(kube) if value in mine]
    findings = Audit(tags, log, seed=1).findings
    assert findings.acknowledged > 0
    assert not findings.wrong, findings


def verify(kube: Kube) -> None:
    """``make verify``: log, MySQL and Redis agree.

    It asks all stores in the head's pod, which may be on its way from one container to the next.
    """
    wait_for("the head", lambda: _head_ready(kube), timeout_s=120)
    kube.in_head("python", "-m", "actors.tools.verify", timeout_s=300)


def _head_ready(kube: Kube) -> bool:
    try:
        return kube.ready(kube.head())
    except ValueError:
        return False
