"""Patches of two drivers that mishandle the death of a server.

asyncio's own transports ignore a write to a closed connection, and the reader reports it; uvloop's
raise ``RuntimeError`` (MagicStack/uvloop#506), and Serve runs replicas on uvloop. Neither
driver catches that (aio-libs/aiokafka#1038):

- It silently ends the task with which an aiokafka client fetches metadata. From then on every
  request for metadata waits for ever, and after a broker's death all producers and consumers ask.
- aiomysql lets it through, so SQLAlchemy sees neither a lost connection, which it would replace,
  nor an error of the database.

The patches turn it into each driver's own error for a lost connection.
"""

from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError
from aiomysql.connection import Connection
from pymysql.constants import CR
from pymysql.err import OperationalError

_kafka_send = AIOKafkaConnection.send
_mysql_write = Connection._write_bytes


def _send(self: AIOKafkaConnection, request: Any, expect_response: bool = True) -> Any:
    try:
        return _kafka_send(self, request, expect_response)
    except RuntimeError as error:
        # As it does itself for an OSError.
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {self.host}:{self.port} is closed") from error


def _write_bytes(self: Connection, data: bytes) -> None:
    try:
        _mysql_write(self, data)
    except RuntimeError as error:
        self.close()
        raise OperationalError(CR.CR_SERVER_GONE_ERROR, "MySQL server has gone away") from error


def patch_drivers() -> None:
    """Patch the drivers in this process; idempotent."""
    AIOKafkaConnection.send = _send
    Connection._write_bytes = _write_bytes
