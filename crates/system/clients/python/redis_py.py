"""redis-py against a server: `redis_py.py plain|shop|locked PORT [PASSWORD]`. Exits non-zero on any unexpected answer."""

import asyncio
import json
import sys
import threading
import time

import redis
from redis.cache import CacheConfig


def refused(prefix, call):
    """`call` must be answered with an error that begins with `prefix`."""
    try:
        answer = call()
    except redis.ResponseError as error:
        # redis-py takes the code off errors it knows; ours stay whole.
        assert str(error).startswith(prefix), f"expected {prefix}, got {error}"
        return
    raise AssertionError(f"expected {prefix}, got the value {answer!r}")


def plain(port):
    db = redis.Redis(port=port, decode_responses=True)
    raw = redis.Redis(port=port)
    assert db.ping()
    assert db.set("kv:py:a", "ü1") is True
    assert db.get("kv:py:a") == "ü1" and raw.get("kv:py:a") == "ü1".encode()
    assert raw.set(b"kv:py:\xff\x00", b"\x00\xff\r\n") and raw.get(b"kv:py:\xff\x00") == b"\x00\xff\r\n"
    assert raw.delete(b"kv:py:\xff\x00") == 1
    assert db.set("kv:py:a", "x", nx=True) is None and db.set("kv:py:new", "x", xx=True) is None
    assert db.set("kv:py:a", "2", ex=100, get=True) == "ü1"
    assert 90 < db.ttl("kv:py:a") <= 100 and 90_000 < db.pttl("kv:py:a") <= 100_000
    assert db.expire("kv:py:a", 50) and 40 < db.ttl("kv:py:a") <= 50
    assert db.ttl("kv:py:none") == -2 and db.get("kv:py:none") is None
    assert db.setex("kv:py:b", 30, "b") and db.psetex("kv:py:b", 30_000, "b") and db.setnx("kv:py:c", "c")
    assert db.mset({"kv:py:d": "d", "kv:py:e": "e"})
    assert db.mget("kv:py:e", "kv:py:none", "kv:py:d", "kv:py:e") == ["e", None, "d", "e"]
    assert db.getex("kv:py:d", ex=20) == "d" and db.ttl("kv:py:d") <= 20
    assert db.getdel("kv:py:d") == "d" and db.get("kv:py:d") is None
    assert db.strlen("kv:py:b") == 1 and db.type("kv:py:b") == "string" and db.type("kv:py:none") == "none"
    assert db.getrange("kv:py:b", 0, -1) == "b"
    assert db.exists("kv:py:b", "kv:py:c", "kv:py:none") == 2 and db.touch("kv:py:b", "kv:py:none") == 1
    assert db.delete("kv:py:b", "kv:py:c", "kv:py:none") == 2 and db.unlink("kv:py:e") == 1
    assert {"kv:py:a"} <= set(db.scan_iter(match="kv:py:*")) and "kv:py:b" not in set(db.scan_iter())
    assert db.dbsize() >= 1

    with db.pipeline(transaction=True) as batch:
        assert batch.set("kv:py:p", "1").get("kv:py:p").delete("kv:py:p").get("kv:py:p").execute() == [True, "1", 1, None]
    with db.pipeline(transaction=False) as batch:
        for i in range(200):
            batch.set(f"kv:py:{i}", i).get(f"kv:py:{i}")
        answers = batch.execute()
        assert answers[1::2] == [str(i) for i in range(200)] and all(answers[::2])

    assert db.client_setname("tester") and db.client_getname() == "tester" and db.client_id() > 0
    info = db.info()
    assert tuple(map(int, info["redis_version"].split(".")[:2])) >= (7, 0) and info["role"] == "master"
    assert {"keyspace_hits", "keyspace_misses", "evicted_keys", "used_memory", "maxmemory"} <= set(info)
    refused("unknown command", lambda: db.execute_command("NOSUCH", "a"))
    assert db.ping(), "an unknown command must not close the connection"

    failures = []

    def worker(n):
        try:
            for i in range(100):
                assert db.set(f"kv:py:t{n}", i) and db.get(f"kv:py:t{n}") == str(i)
        except Exception as error:  # noqa: BLE001 - told below, in the main thread
            failures.append(error)

    threads = [threading.Thread(target=worker, args=(n,)) for n in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failures, failures

    async def many():
        client = redis.asyncio.Redis(port=port, decode_responses=True, max_connections=10)
        values = await asyncio.gather(*(client.get("kv:py:199") for _ in range(10)))
        await client.aclose()
        return values

    assert asyncio.run(many()) == ["199"] * 10


def near(port):
    """redis-py's own client cache: it answers by itself, and never with what somebody has changed or what has ended."""
    cached = redis.Redis(port=port, protocol=3, decode_responses=True, cache_config=CacheConfig())
    far = redis.Redis(port=port, decode_responses=True)

    def soon(key, value):
        until = time.time() + 5
        while cached.get(key) != value:
            assert time.time() < until, f"{key}: {cached.get(key)!r}, not {value!r}"
            time.sleep(0.002)

    far.set("kv:py:near", "1")
    assert cached.get("kv:py:near") == "1"
    asked = far.info()["keyspace_hits"]
    assert [cached.get("kv:py:near") for _ in range(50)] == ["1"] * 50
    assert far.info()["keyspace_hits"] - asked <= 1, "its own cache answers"
    for n in range(200):
        far.set("kv:py:near", n)
        soon("kv:py:near", str(n))
    assert cached.mget("kv:py:near", "kv:py:no") == ["199", None]
    far.delete("kv:py:near")
    soon("kv:py:near", None)
    far.set("kv:py:near", "again")
    soon("kv:py:near", "again")
    # What ends by itself: nobody changes it, and its keeper hears of it all the same.
    far.set("kv:py:near", "short", px=300)
    soon("kv:py:near", "short")
    time.sleep(0.3)
    soon("kv:py:near", None)
    cached.close()


def shop(port):
    db = redis.Redis(port=port, decode_responses=True)
    assert json.loads(db.get("product:42"))["id"] == 42
    assert json.loads(redis.Redis(port=port).get("product:42"))["id"] == 42
    assert [json.loads(row)["id"] for row in db.mget("product:3", "product:1", "product:3")] == [3, 1, 3]
    assert db.get("product:999999999") is None and db.get("product:042") is None
    assert db.mget("product:1", "product:999999999")[1] is None
    assert db.exists("product:1", "product:999999999") == 1
    assert 0 <= db.ttl("product:1") and db.type("product:1") == "string" and db.strlen("product:1") > 5
    assert db.delete("product:1") == 1 and db.ttl("product:1") == -2
    with db.pipeline(transaction=True) as batch:
        answers = batch.get("product:5").delete("product:5").get("product:5").execute()
        assert answers[0] == answers[2] and json.loads(answers[0])["id"] == 5 and answers[1] == 1
    refused("BWNOSPACE", lambda: db.get("nothing:1"))
    refused("BWREADONLY", lambda: db.set("product:1", "x"))
    value, why, age, token, _ = db.execute_command("BW.GET", "product:42")
    assert json.loads(value)["id"] == 42 and why == "hit" and age >= 0 and token is None
    assert db.ping()


def locked(port, password):
    assert redis.Redis(port=port, password=password).set("kv:py:locked", "1")
    assert redis.Redis(port=port, username="default", password=password, protocol=2).get("kv:py:locked") == b"1"
    for wrong in (None, "wrong"):
        try:
            redis.Redis(port=port, password=wrong).get("kv:py:locked")
        except redis.AuthenticationError:
            continue
        raise AssertionError(f"password {wrong!r} was let in")


if __name__ == "__main__":
    kind, port, *rest = sys.argv[1:]
    {"plain": plain, "near": near, "shop": shop, "locked": locked}[kind](int(port), *rest)
    print("fine")
