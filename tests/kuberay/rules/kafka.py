"""Kafka: the topics are those that the code names, set up as the producer assumes."""

import yaml

from serve_app.core.names import DEAD_LETTERS_TOPIC, USER_TAGS_TOPIC
from setup.topics import TopicSettings, wanted_topics
from tests.kuberay.manifests import Document, name_of, of_kind


def topics_agree_with_setup(documents: list[Document]) -> list[str]:
    """Names, partitions and settings are those of setup/topics.py; partitions, those of case3."""
    there = {
        topic["spec"].get("topicName", topic["metadata"]["name"]): topic["spec"]
        for topic in of_kind(documents, "KafkaTopic")
    }
    main = there.get(USER_TAGS_TOPIC)
    if main is None:
        return [f"there is no topic {USER_TAGS_TOPIC}"]
    wanted = wanted_topics(
        TopicSettings(
            partitions=main["partitions"],
            replication=main["replicas"],
            min_insync=int(main["config"]["min.insync.replicas"]),
        )
    )
    found = []
    for topic in wanted:
        spec = there.pop(topic.name, None)
        if spec is None:
            found.append(f"there is no topic {topic.name}")
        elif spec["partitions"] != topic.partitions:
            found.append(f"{topic.name}: {spec['partitions']} partitions, not {topic.partitions}")
        elif {k: str(v) for k, v in spec["config"].items()} != topic.config:
            found.append(f"{topic.name}: {spec['config']} is not {topic.config}")
    found += [f"{name}: nobody uses this topic" for name in there]
    for service in of_kind(documents, "RayService"):
        config = yaml.safe_load(service["spec"]["serveConfigV2"])
        actors = next(
            a["args"]["partitions"] for a in config["applications"] if a["name"] == "case3"
        )
        if actors != main["partitions"]:
            found.append(f"{actors} actors for {main['partitions']} partitions")
    return found


def losing_a_broker_loses_nothing(documents: list[Document]) -> list[str]:
    """acks=all means something, and one broker may go: copies > min.insync ≥ 2, on enough brokers.

    A single broker, for a laptop, can promise no more than one copy.
    """
    brokers = sum(
        pool["spec"]["replicas"]
        for pool in of_kind(documents, "KafkaNodePool")
        if "broker" in pool["spec"]["roles"]
    )
    found = []
    for topic in of_kind(documents, "KafkaTopic"):
        copies = topic["spec"]["replicas"]
        least = int(topic["spec"]["config"]["min.insync.replicas"])
        if copies > brokers:
            found.append(f"{name_of(topic)}: {copies} copies on {brokers} brokers")
        if brokers > 1 and not 2 <= least < copies:
            found.append(f"{name_of(topic)}: {least} of {copies} copies in step")
        if str(topic["spec"]["config"].get("unclean.leader.election.enable")) != "false":
            found.append(f"{name_of(topic)}: a broker that lacks records may lead")
    for kafka in of_kind(documents, "Kafka"):
        config = kafka["spec"]["kafka"]["config"]
        if config.get("auto.create.topics.enable") is not False:
            found.append(f"{name_of(kafka)}: a mistyped topic would be made")
        for name in ("default.replication.factor", "offsets.topic.replication.factor"):
            if config[name] > brokers or config[name] < min(3, brokers):
                found.append(f"{name_of(kafka)}: {name} is {config[name]} on {brokers} brokers")
        if not all(
            listener["tls"] and "authentication" in listener
            for listener in kafka["spec"]["kafka"]["listeners"]
        ):
            found.append(f"{name_of(kafka)}: a listener without TLS or authentication")
    controllers = sum(
        pool["spec"]["replicas"]
        for pool in of_kind(documents, "KafkaNodePool")
        if "controller" in pool["spec"]["roles"]
    )
    if controllers % 2 == 0:
        found.append(f"{controllers} controllers: an even quorum survives no more than one fewer")
    return found


def the_user_may_what_it_needs(documents: list[Document]) -> list[str]:
    """Read and write the topics that the code names, and no more."""
    needed = {
        ("topic", USER_TAGS_TOPIC, "Read"),
        ("topic", USER_TAGS_TOPIC, "Write"),
        ("topic", DEAD_LETTERS_TOPIC, "Read"),
        ("topic", DEAD_LETTERS_TOPIC, "Write"),
    }
    found = []
    for user in of_kind(documents, "KafkaUser"):
        granted = {
            (acl["resource"]["type"], acl["resource"]["name"], operation)
            for acl in user["spec"]["authorization"]["acls"]
            for operation in acl["operations"]
        }
        harmless = {"Describe", "DescribeConfigs"}
        found += [f"{name_of(user)}: may not {right}" for right in sorted(needed - granted)]
        found += [
            f"{name_of(user)}: may {right}"
            for right in sorted(granted - needed)
            if right[2] not in harmless
        ]
    return found
