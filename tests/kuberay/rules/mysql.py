"""MySQL's configuration, as Percona's operator gives it to the server."""

from tests.kuberay.manifests import Document, name_of, of_kind


def options_of_plugins_are_loose(documents: list[Document]) -> list[str]:
    """The first start initialises the data without plugins, and ends at an unknown option."""
    return [
        f"{name_of(mysql)}: {line} keeps mysqld from initialising its data"
        for mysql in of_kind(documents, "PerconaServerMySQL")
        for line in mysql["spec"]["mysql"]["configuration"].splitlines()
        if line.strip().startswith("group_replication_")
    ]
