"""The script that forms the Redis Cluster: what it reads, and what it says."""

import pytest

from serve_app.core.settings import Settings
from setup.redis_cluster import SLOTS, ClusterError, even_ranges, form, parse_view

NODES = (
    "aa 127.0.0.1:7101@7111 myself,master - 0 0 1 connected 0-5460 5462 [93->-bb]\n"
    "bb 127.0.0.1:7102@7112,name master - 0 0 2 connected 5461\n"
    "cc 127.0.0.1:7103@7113 slave aa 0 0 1 connected\n"
    "dd 127.0.0.1:7104@7114 master,fail - 0 0 3 disconnected 6000\n"
    "ee :0@0 handshake - 0 0 0 connected\n"
)


def test_reads_what_a_node_says() -> None:
    view = parse_view(NODES, "cluster_state:ok\r\ncluster_slots_assigned:5463\r\n")
    assert view.node_id == "aa"
    assert view.known == {"aa", "bb", "cc"}
    assert view.masters["aa"] == frozenset([*range(5461), 5462])
    assert view.replica_of == {"cc": "aa"}
    assert view.state == "ok"


@pytest.mark.parametrize("parts", [1, 3, 7])
def test_ranges_cover_all_slots_once(parts: int) -> None:
    ranges = even_ranges(parts)
    assert [slot for part in ranges for slot in part] == list(range(SLOTS))
    assert max(map(len, ranges)) - min(map(len, ranges)) <= 1


def test_says_what_it_waited_for() -> None:
    with pytest.raises(ClusterError, match="every node to answer"):
        form(Settings(redis_nodes="127.0.0.1:1"), 0, 0.2, lambda line: None)
    with pytest.raises(ClusterError, match="3 nodes do not divide"):
        form(Settings(redis_nodes="a:1,b:1,c:1"), 1, 0.2, lambda line: None)
