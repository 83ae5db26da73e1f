"""The database and its user: ``python -m setup.kubernetes.mysql_account``, as a job runs it.

Percona's operator creates servers and its own users; the application's user is ours. Statements are
idempotent; a changed password is set, which is how it is rotated.
"""

import os
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Final

import pymysql
import typer

from serve_app.core.settings import Settings, settings
from setup.command_line import run_main

Statement = tuple[str, Sequence[str]]

RETRY_S: Final = 2.0
PRIVILEGES: Final = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX"
"""Rights of the application: for rows, migrations, and table partitions."""


def statements(wanted: Settings) -> list[Statement]:
    """Statements for root, in order, with parameters."""
    database = "`" + wanted.mysql_database.replace("`", "``") + "`"
    user, password = wanted.mysql_user, wanted.mysql_password.get_secret_value()
    return [
        (
            f"CREATE DATABASE IF NOT EXISTS {database} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            (),
        ),
        ("CREATE USER IF NOT EXISTS %s@'%%' IDENTIFIED BY %s REQUIRE SSL", (user, password)),
        ("ALTER USER %s@'%%' IDENTIFIED BY %s REQUIRE SSL", (user, password)),
        (f"GRANT {PRIVILEGES} ON {database}.* TO %s@'%%'", (user,)),
    ]


def connect(wanted: Settings, root_password: str, timeout_s: float) -> pymysql.Connection:
    """A connection as root; waits for a server that is still starting.

    Raises:
        pymysql.MySQLError: no server within ``timeout_s``, or it refuses.
    """
    give_up_s = time.monotonic() + timeout_s
    while True:
        try:
            return pymysql.connect(
                host=wanted.mysql_host,
                port=wanted.mysql_port,
                user="root",
                password=root_password,
                ssl_ca=wanted.mysql_ca_file or None,
                ssl_verify_identity=bool(wanted.mysql_ca_file),
                connect_timeout=5,
                autocommit=True,
            )
        except pymysql.OperationalError:
            if time.monotonic() + RETRY_S > give_up_s:
                raise
            time.sleep(RETRY_S)


def main(timeout: Annotated[float, typer.Option(help="Seconds to wait for MySQL.")] = 60.0) -> int:
    """Exit status: 0 if database and user exist, with this password."""
    wanted = settings()
    root_password = os.environ.get("MYSQL_ROOT_PASSWORD", "")
    if not root_password or not wanted.mysql_password.get_secret_value():
        print("MYSQL_ROOT_PASSWORD and TAGS_MYSQL_PASSWORD must be set", file=sys.stderr)
        return 1
    where = f"{wanted.mysql_host}:{wanted.mysql_port}"
    try:
        connection = connect(wanted, root_password, timeout)
        with connection, connection.cursor() as cursor:
            for statement, parameters in statements(wanted):
                cursor.execute(statement, parameters)
    except pymysql.MySQLError as error:
        print(f"MySQL at {where}: {error}", file=sys.stderr)
        return 1
    print(f"account: {wanted.mysql_user} may use {wanted.mysql_database}")
    return 0


if __name__ == "__main__":
    run_main(main, __doc__)
