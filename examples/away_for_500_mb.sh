#!/usr/bin/env bash
# A chain of three, and a link that breaks for 500 MB of writes: redis-server -> Rejoin -> redis-server.
#
# The last one's link is cut while its master's master takes 500 MB of writes. redis-server would keep 1 MB of them in memory
# for it (repl-backlog-size) and send everything anew. Rejoin has the stream in its log's files, and continues.
#
#   cargo build --release --bin rejoin-server
#   examples/away_for_500_mb.sh [MEGABYTES]
#
# Needs redis-server, redis-cli and redis-benchmark. Runs on loopback, in a temporary folder, and leaves nothing behind.
# REJOIN_SERVER names another binary of the node.
set -euo pipefail

megabytes=${1:-500}
node=${REJOIN_SERVER:-$(dirname "${BASH_SOURCE[0]}")/../target/release/rejoin-server}
node=$(realpath "$node")
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$work"' EXIT

# free_port: one that nobody listens on.
free_port() {
    local port
    while port=$((20000 + RANDOM % 20000)) && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    echo "$port"
}

# start NAME PROGRAM ARGUMENTS...: starts a server in a folder of its own, and sets NAME to its port.
start() {
    local name=$1 program=$2 port
    shift 2
    port=$(free_port)
    mkdir "$work/$name"
    "$program" --port "$port" --dir "$work/$name" "$@" >"$work/$name/log" 2>&1 &
    until redis-cli -p "$port" ping >/dev/null 2>&1; do
        kill -0 $! 2>/dev/null || { cat "$work/$name/log"; exit 1; }
        sleep 0.1
    done
    printf -v "$name" %s "$port"
}

# field PORT NAME: a line of INFO.
field() { redis-cli -p "$1" info | tr -d '\r' | sed -n "s/^$2://p"; }

# wait_for_offset PORT OF: until the one has all that the other has.
wait_for_offset() {
    until [ "$(field "$1" slave_repl_offset)" = "$(field "$2" master_repl_offset)" ]; do sleep 0.2; done
}

start stock_master redis-server --enable-debug-command yes --save '' --client-output-buffer-limit 'replica 0 0 0'
start rejoin "$node" --repl-backlog-size 1mb --replicaof "127.0.0.1 $stock_master"
start stock_replica redis-server --enable-debug-command yes --save '' --replicaof "127.0.0.1 $rejoin"
redis-cli -p "$stock_master" set greeting hello >/dev/null
wait_for_offset "$rejoin" "$stock_master"
wait_for_offset "$stock_replica" "$rejoin"
echo "redis-server :$stock_master -> Rejoin :$rejoin -> redis-server :$stock_replica, in step at offset $(field "$stock_replica" slave_repl_offset)"

# A port where nobody answers: the replica keeps what it has and tries on.
redis-cli -p "$stock_replica" replicaof 127.0.0.1 1 >/dev/null
before=$(field "$stock_master" master_repl_offset)
echo "The last link is cut. Writing $megabytes MB ..."
redis-benchmark -p "$stock_master" -q -t set -d 10000 -P 16 -r 20000 -n $((megabytes * 100)) >/dev/null
wait_for_offset "$rejoin" "$stock_master"
after=$(field "$stock_master" master_repl_offset)
echo "$(((after - before) >> 20)) MB of the stream were written; Rejoin holds $(($(field "$rejoin" repl_backlog_histlen) >> 10)) KB of it in memory"

echo "The link is back:"
redis-cli -p "$stock_replica" replicaof 127.0.0.1 "$rejoin" >/dev/null
wait_for_offset "$stock_replica" "$rejoin"
grep -h -E 'partial resync|Full resync' "$work/stock_replica/log" | tail -n 1 | sed 's/^/  redis-server: /'
grep -h -E 'request accepted|History sent' "$work/rejoin/log" | tail -n 2 | sed 's/^/  Rejoin: /'

full=$(field "$rejoin" sync_full) partial=$(field "$rejoin" sync_partial_ok)
one=$(redis-cli -p "$stock_master" debug digest) other=$(redis-cli -p "$stock_replica" debug digest)
echo "Rejoin's full syncs: $full (the first), partial ones: $partial. Digests: $one and $other"
[[ $one =~ ^[0-9a-f]{40}$ ]] && [ "$one" = "$other" ] && [ "$full" = 1 ] && [ "$partial" = 1 ] || { echo "That is not as it should be."; exit 1; }
