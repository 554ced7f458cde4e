#!/bin/bash
# Three gateways that share what they sell, their Redis, and nginx before them, on this machine alone.
# `make cluster` builds and runs it; Ctrl-C ends all of it, and what was sold is there the next time. A part
# that ends by itself, or by `kill -9 $(cat DATA/gateway-2.pid)`, is told of, and the others go on.
#
#   deploy/cluster.sh BINARY DATA    SECKILL_STORE_URL=sqlserver:… in place of one SQLite file
set -euo pipefail

seckill=$(realpath "$1")
mkdir -p "$2"
data=$(realpath "$2")
here=$(dirname "$(realpath "$0")")
front=${FRONT:-127.0.0.1:8080}
socket=$data/redis.socket
declare -A parts # by their process ids

end() {
    trap - EXIT INT TERM
    kill "${!parts[@]}" 2>/dev/null || true
    wait
}
trap end EXIT
trap 'exit 0' INT TERM

# Notes the process that was just started as a part, and waits until it is there, with a bound.
until_there() {
    local what=$1 pid=$! tries=600
    shift
    parts[$pid]=$what
    echo "$pid" >"$data/${what/ /-}.pid"
    until "$@" 2>/dev/null; do
        ((tries -= 1)) || { echo "$what does not come: see $data/*.log" >&2; exit 1; }
        kill -0 "$pid" 2>/dev/null || { echo "$what has ended: see $data/*.log" >&2; exit 1; }
        sleep 0.1
    done
}

secret_of_all() {
    local file=$data/secret
    [[ -f $file ]] || (umask 077 && od -An -tx1 -N32 /dev/urandom | tr -d ' \n' >"$file")
    echo "$file"
}

start_redis() {
    rm -f "$socket" # of an earlier Redis that was killed: it would be taken for this one's
    redis-server --port 0 --unixsocket "$socket" --dir "$data" --save '' --appendonly no \
        --logfile "$data/redis.log" &
    until_there redis test -S "$socket"
}

# Gateway 1 has the demo's shoppers, operator and sales; it prints their passwords.
start_gateway() {
    local number=$1 demo=() out=$data/gateway-$1.out
    ((number > 1)) || demo=(--demo)
    : >"$out" # of an earlier time
    SECKILL_SECRET_FILE=$(secret_of_all) \
        SECKILL_GATEWAY_ID=$number \
        SECKILL_STORE_URL=${SECKILL_STORE_URL:-sqlite:$data/store.db} \
        SECKILL_REDIS_URL=redis+unix://$socket \
        SECKILL_PEER_LISTEN=127.0.0.1:707$number \
        SECKILL_TRUSTED_PROXIES=127.0.0.1 \
        SECKILL_PAYMENT_PROVIDER=sandbox \
        SECKILL_PAYMENT_WEBHOOK_SECRET=whsec_$(base64 -w0 <"$(secret_of_all)") \
        "$seckill" serve "${demo[@]}" --cores 1 --data "$data/gateway-$number" \
        --listen "127.0.0.1:808$number" --ops-listen "127.0.0.1:909$number" \
        >"$out" 2>"$data/gateway-$number.log" &
    until_there "gateway $number" grep -q '^ready' "$out"
}

# What is shipped, with this machine's places in the place of a server's.
start_nginx() {
    local own=$data/nginx temporary='' kind
    mkdir -p "$own"
    for kind in client_body proxy fastcgi uwsgi scgi; do
        temporary+="${kind}_temp_path $own/$kind; "
    done
    for file in "$here"/nginx/*.conf; do
        sed -e "s#/run/#$own/#g; s#/var/log/nginx/#$own/#g; s#/var/lib/nginx/#$own/#g" \
            -e "s#^http {#http { $temporary#; s#listen 80 #listen $front #" \
            -e 's#^server 127.0.0.1:8080\(.*\)#server 127.0.0.1:8081\1\nserver 127.0.0.1:8082\1\nserver 127.0.0.1:8083\1#' \
            "$file" >"$own/$(basename "$file")"
    done
    nginx -p "$own" -c "$own/nginx.conf" -g 'daemon off;' 2>"$data/nginx.log" &
    until_there nginx bash -c ": </dev/tcp/${front/://}"
}

# The address of a server has a password in it.
store=$data/store.db
[[ ${SECKILL_STORE_URL:-} != sqlserver:* ]] || store="SQL Server"

start_redis
for number in 1 2 3; do start_gateway "$number"; done
start_nginx
# Passwords are told once: those of an earlier time are kept, for this machine's user alone.
(umask 077 && grep '^demo.*password' "$data/gateway-1.out" >>"$data/accounts") || true
cat "$data/accounts"
cat <<TEXT

the shop        http://$front      (nginx; one shopper, one gateway)
gateways        http://127.0.0.1:8081 · 8082 · 8083
operations      http://127.0.0.1:9091/metrics · 9092 · 9093
each other      http://127.0.0.1:7071 · 7072 · 7073
redis           $socket
store           $store
logs            $data/*.log
TEXT
# What a fleet is for: whatever ends, the others go on.
while ((${#parts[@]})); do
    wait -n -p ended "${!parts[@]}" || true
    echo "${parts[$ended]} has ended: see $data/${parts[$ended]/ /-}.log" >&2
    unset "parts[$ended]"
done
exit 1
