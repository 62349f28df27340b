"""redis-py does its ordinary work against a server: run with its port, and redis-py on the path.

Every assertion holds in RESP2 and in RESP3; the first that does not ends the run with its line.
"""

import sys
import threading
import time

import redis


def values(r):
    assert r.ping()
    assert r.set("text", "hello", ex=100, nx=True) is True
    assert r.set("text", "other", nx=True) is None
    assert r.get("text") == "hello" and 0 < r.ttl("text") <= 100
    assert r.get("none") is None
    assert r.incrby("number", 41) == 41 and r.incrbyfloat("number", 0.5) == 41.5
    assert r.hset("hash", mapping={"a": 1, "b": "two"}) == 2
    assert r.hgetall("hash") == {"a": "1", "b": "two"}
    assert r.rpush("list", "x", "y", "z") == 3 and r.lrange("list", 1, -1) == ["y", "z"]
    assert r.sadd("set", 1, 2, 3) == 3 and set(r.smembers("set")) == {"1", "2", "3"}
    assert r.zadd("scores", {"low": 1.5, "high": 2.5}) == 2
    assert [list(pair) for pair in r.zrange("scores", 0, -1, withscores=True)] == [["low", 1.5], ["high", 2.5]]
    assert r.zscore("scores", "low") == 1.5
    assert r.type("scores") == "zset" and r.exists("text", "none") == 1
    assert r.info("server")["redis_mode"] == "standalone"
    assert r.config_get("maxmemory") == {"maxmemory": "0"}
    assert str(r.client_id()) in [client["id"] for client in r.client_list()]
    try:
        r.lpush("text", 1)
    except redis.ResponseError as error:
        assert "WRONGTYPE" in str(error), error
    else:
        raise AssertionError("a list was pushed to a string")


def pipelines(r):
    with r.pipeline(transaction=False) as pipe:
        for n in range(1000):
            pipe.set(f"key:{n}", n)
        assert pipe.execute() == [True] * 1000
    with r.pipeline() as pipe:
        assert pipe.get("key:7").incr("key:7", 10).execute() == ["7", 17]
    assert len(set(r.scan_iter("key:9*", count=50))) == 111
    assert dict(r.hscan_iter("hash")) == {"a": "1", "b": "two"}

    attempts = []

    def add_one(pipe):
        before = int(pipe.get("key:5"))
        attempts.append(before)
        if len(attempts) == 1:
            r.set("key:5", 100)
        pipe.multi()
        pipe.set("key:5", before + 1)

    # The first attempt is spoiled by the write of another connection.
    assert r.transaction(add_one, "key:5") == [True]
    assert attempts == [5, 100] and r.get("key:5") == "101"


def messages(r):
    with r.pubsub() as pubsub:
        pubsub.subscribe("news")
        pubsub.psubscribe("w*")
        kinds = [pubsub.get_message(timeout=30)["type"] for _ in range(2)]
        assert kinds == ["subscribe", "psubscribe"], kinds
        assert r.publish("news", "one") == 1 and r.publish("weather", "two") == 1
        first, second = pubsub.get_message(timeout=30), pubsub.get_message(timeout=30)
        assert (first["type"], first["channel"], first["data"]) == ("message", "news", "one"), first
        assert (second["type"], second["pattern"], second["data"]) == ("pmessage", "w*", "two"), second


def blocking(r):
    popped = []
    waiter = threading.Thread(target=lambda: popped.append(r.blpop(["empty", "queue"], timeout=30)))
    waiter.start()
    while not any("b" in client["flags"] for client in r.client_list()):
        time.sleep(0.01)
    r.rpush("queue", "job")
    waiter.join()
    assert [list(pair) for pair in popped] == [["queue", "job"]], popped
    assert r.blpop("queue", timeout=0.01) is None


for protocol in (2, 3):
    r = redis.Redis(port=int(sys.argv[1]), db=2, protocol=protocol, decode_responses=True, socket_timeout=40)
    for work in (values, pipelines, messages, blocking):
        work(r)
    assert r.flushdb() is True and r.dbsize() == 0
    r.close()
print(f"redis-py {redis.__version__} was served")
