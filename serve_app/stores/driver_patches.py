"""What two drivers get wrong when a server dies, put right where they do it.

asyncio's own transports swallow a write that comes after the end, and the reader tells of it;
uvloop's raise ``RuntimeError`` (MagicStack/uvloop#506), and Serve runs replicas on uvloop. Neither
driver catches that (aio-libs/aiokafka#1038):

- The task of an aiokafka client that fetches metadata ends with it, unseen. From then on whoever
  asks for metadata, which after a broker's death is every producer and consumer, waits for ever.
- aiomysql lets it through, so that SQLAlchemy sees neither a lost connection, which it would
  replace, nor an error of the database.

Here it becomes the error that each driver has for a lost connection.
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
    """In this process; again and again does no harm."""
    AIOKafkaConnection.send = _send
    Connection._write_bytes = _write_bytes
