"""The faults as data: injection, duration, and bounds of the effect.

No fault may cause a wrong answer, so the bounds are on drops and on time only. Notes name
the effects of third-party components.
"""

from dataclasses import dataclass
from typing import Final

from tests.faults import hostile_clients, rude_clients
from tests.faults import injections as do
from tests.faults import redis_injections as redis
from tests.faults.injections import Injection

DEV: Final = "dev"
CLUSTER: Final = "cluster"
_BOTH: Final = (DEV, CLUSTER)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault. Times count from the (last) injection.

    Attributes:
        name: as in the table.
        inject: injects it, and returns the function that heals it.
        hold_s: from the injection to healing.
        times, every_s: how often, and how far apart.
        dropped_s: maximum of dropped tags and profile queries, in seconds of the load.
        normal_s: maximum of seconds until the last drop.
        whole_s: maximum of seconds after healing until every part reports to be healthy.
        stacks: where it applies.
        small_disk: kind of store whose first node needs its own small disk.
        cut_off: needs Toxiproxy before MariaDB.
        cut_process: needs access to sockets of other processes.
        chaos: whether the random sequence includes it.
        redis_only: affects only Redis, so no tag may be refused.
        note: explanation for the table.
    """

    name: str
    inject: Injection
    hold_s: float = 0.0
    times: int = 1
    every_s: float = 0.0
    dropped_s: float = 0.0
    normal_s: float = 0.0
    whole_s: float = 60.0
    stacks: tuple[str, ...] = _BOTH
    small_disk: str = ""
    cut_off: bool = False
    cut_process: bool = False
    chaos: bool = True
    redis_only: bool = False
    note: str = ""


FAULTS: Final = (
    Fault(name="none", inject=do.no_fault, hold_s=10, chaos=False),
    Fault(
        name="replica killed",
        inject=do.kill_replica,
        dropped_s=0.5,
        normal_s=5,
        note="dropped: the requests that it was answering, and a few while a new one starts",
    ),
    Fault(name="Serve controller killed", inject=do.kill_controller, dropped_s=0.1, normal_s=1),
    Fault(
        name="HAProxy killed",
        inject=do.kill_haproxy,
        dropped_s=6,
        normal_s=5.5,
        note="detected after 3 checks, half a second apart; a new one takes as long again to start",
    ),
    Fault(
        name="partition actors killed, 10 times",
        inject=do.kill_actor,
        times=10,
        every_s=3,
        dropped_s=0.5,
        normal_s=3,
        note="each feeds its partition to both views",
    ),
    Fault(
        name="Redis master killed, back at once",
        inject=do.kill_redis_master,
        dropped_s=0.5,
        normal_s=5,
        redis_only=True,
    ),
    Fault(
        name="Redis master down 15 s, replica promoted",
        inject=do.keep_redis_master_down,
        hold_s=15,
        dropped_s=2,
        normal_s=18,
        stacks=(CLUSTER,),
        redis_only=True,
    ),
    Fault(
        name="Redis master stopped 5 s",
        inject=do.freeze_redis_master,
        hold_s=5,
        dropped_s=2,
        normal_s=10,
        redis_only=True,
    ),
    Fault(
        name="Redis master stopped 15 s, replica promoted",
        inject=do.freeze_redis_master,
        hold_s=15,
        dropped_s=2,
        normal_s=18,
        stacks=(CLUSTER,),
        redis_only=True,
        note="a few at each change of master; it resumes as a master and must learn that it is not",
    ),
    Fault(
        name="Redis replica away 100 s, promoted with old data",
        inject=redis.promote_old_replica,
        hold_s=100,
        dropped_s=2,
        normal_s=125,
        stacks=(CLUSTER,),
        redis_only=True,
        note="its master is killed as it comes back; profiles of the shard are refused until the "
        "log has told it what it lacks",
    ),
    Fault(
        name="Redis replica with a broken link, master stopped 15 s",
        inject=redis.break_link_then_freeze_master,
        hold_s=15,
        dropped_s=2,
        normal_s=35,
        stacks=(CLUSTER,),
        redis_only=True,
        note="the link breaks 14 s before, so that the replica lacks what was promised",
    ),
    Fault(
        name="Redis shard down 60 s",
        inject=redis.keep_shard_down,
        hold_s=60,
        dropped_s=5,
        normal_s=70,
        redis_only=True,
        note="the master and its replica, where there is one: a third of the profile queries",
    ),
    Fault(
        name="Redis shard back with an empty disk",
        inject=redis.empty_shard,
        hold_s=10,
        dropped_s=5,
        normal_s=60,
        redis_only=True,
        note="its profiles are refused until the complete log has been applied again",
    ),
    Fault(
        name="all of Redis killed at once",
        inject=redis.kill_all_redis,
        dropped_s=2,
        normal_s=15,
        redis_only=True,
    ),
    Fault(
        name="Redis master split off 20 s, then back",
        inject=redis.split_master_off,
        hold_s=20,
        dropped_s=2,
        normal_s=30,
        stacks=(CLUSTER,),
        redis_only=True,
        note="clients still reach it, but the other nodes of the cluster do not",
    ),
    Fault(
        name="a thousand slots moved",
        inject=redis.move_slots,
        hold_s=5,
        dropped_s=2,
        normal_s=60,
        redis_only=True,
        note="by redis-cli, from one master to another, and back after that",
    ),
    Fault(
        name="Redis master and Kafka leader stopped 15 s, Redis back first",
        inject=do.freeze_both_redis_first,
        hold_s=15,
        dropped_s=8,
        normal_s=30,
        stacks=(CLUSTER,),
    ),
    Fault(
        name="Redis master and Kafka leader stopped 15 s, Kafka back first",
        inject=do.freeze_both_kafka_first,
        hold_s=15,
        dropped_s=8,
        normal_s=30,
        stacks=(CLUSTER,),
    ),
    Fault(
        name="Redis master and the only broker stopped 15 s, Redis back first",
        inject=do.freeze_both_redis_first,
        hold_s=15,
        dropped_s=25,
        normal_s=30,
        stacks=(DEV,),
    ),
    Fault(
        name="Redis master and the only broker stopped 15 s, Kafka back first",
        inject=do.freeze_both_kafka_first,
        hold_s=15,
        dropped_s=20,
        normal_s=30,
        stacks=(DEV,),
    ),
    Fault(
        name="one replica cut off from Kafka 15 s",
        inject=do.cut_replica_off_kafka,
        hold_s=15,
        dropped_s=8,
        normal_s=25,
        cut_process=True,
        note="a third of the tags; its answers must include what the others accept meanwhile",
    ),
    Fault(
        name="one replica cut off from Redis 15 s",
        inject=do.cut_replica_off_redis,
        hold_s=15,
        dropped_s=2,
        normal_s=25,
        cut_process=True,
        redis_only=True,
        note="a third of the profile queries",
    ),
    Fault(
        name="all partition actors stopped 30 s",
        inject=do.freeze_actors,
        hold_s=30,
        dropped_s=5,
        normal_s=60,
        redis_only=True,
        note="profile queries are refused from the tenth second on; Serve may replace the actors",
    ),
    Fault(
        name="Kafka leader killed",
        inject=do.kill_kafka_leader,
        dropped_s=3,
        normal_s=10,
        stacks=(CLUSTER,),
    ),
    Fault(
        name="Kafka controller killed",
        inject=do.kill_kafka_controller,
        dropped_s=3,
        normal_s=10,
        stacks=(CLUSTER,),
    ),
    Fault(
        name="Kafka leader stopped 10 s",
        inject=do.freeze_kafka,
        hold_s=10,
        dropped_s=3,
        normal_s=15,
        stacks=(CLUSTER,),
    ),
    Fault(
        name="the only broker killed",
        inject=do.kill_kafka_leader,
        dropped_s=20,
        normal_s=20,
        stacks=(DEV,),
        note="down for as long as its JVM takes to start",
    ),
    Fault(
        name="the only broker stopped 10 s",
        inject=do.freeze_kafka,
        hold_s=10,
        dropped_s=13,
        normal_s=15,
        stacks=(DEV,),
    ),
    Fault(
        name="no leader for 15 s",
        inject=do.keep_kafka_down,
        hold_s=15,
        dropped_s=35,
        normal_s=35,
        note="two of three brokers, or the only one: nothing can be accepted meanwhile",
    ),
    Fault(name="one MariaDB node killed", inject=do.kill_mariadb),
    Fault(
        name="MariaDB's address killed",
        inject=do.kill_mariadb_address,
        stacks=(CLUSTER,),
    ),
    Fault(
        name="all MariaDB nodes down 50 s",
        inject=do.keep_mariadb_down,
        hold_s=50,
        whole_s=90,
        chaos=False,
        note="aggregates wait up to 55 s and are then refused; tags and profiles are unaffected",
    ),
    Fault(
        name="MariaDB cut off 20 s",
        inject=do.cut_mariadb_off,
        hold_s=20,
        cut_off=True,
        note="packets are swallowed and connections stay open, through Toxiproxy",
    ),
    Fault(
        name="everything killed, started again",
        inject=do.kill_everything,
        dropped_s=150,
        normal_s=150,
        chaos=False,
    ),
    Fault(
        name="120 rude clients",
        inject=rude_clients.rude_clients,
        dropped_s=0.1,
        normal_s=8,
        note="they leave before the answer, leave in mid-body, or send 16 bytes at a time",
    ),
    Fault(name="1,000 idle connections", inject=rude_clients.idle_connections, hold_s=10),
    Fault(
        name="hostile clients: 4,300 half heads",
        inject=hostile_clients.half_heads,
        hold_s=15,
        note="each is closed after 5 s with 408, and comes back",
    ),
    Fault(
        name="hostile clients: 300 endless bodies",
        inject=hostile_clients.endless_bodies,
        hold_s=20,
        note="half of them fill a buffer first, so that a replica is asked",
    ),
    Fault(
        name="hostile clients: 95 odd requests",
        inject=hostile_clients.odd_requests,
        normal_s=1,
        note="headers that Serve acts on or fails on, bodies that inflate, heads too long",
    ),
    Fault(
        name="disk full under Kafka 15 s",
        inject=do.fill_kafka_disk,
        hold_s=15,
        dropped_s=45,
        normal_s=45,
        stacks=(DEV,),
        small_disk="kafka",
        chaos=False,
        note="a broker whose only disk fails stops; its supervisor starts it until there is room",
    ),
    Fault(
        name="disk full under MariaDB 15 s",
        inject=do.fill_mariadb_disk,
        hold_s=15,
        stacks=(DEV,),
        small_disk="mariadb",
        chaos=False,
    ),
)
