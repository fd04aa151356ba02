#!/bin/sh
# Checks cluster files against a Charon binary, in both directions:
#   what `flotilla create cluster` writes, `charon combine` recombines and `charon run` loads;
#   what `charon create cluster` writes, `flotilla cluster verify` accepts and `flotilla combine` recombines to the same keys.
#
# Usage: testnet/charon-files.sh CHARON [FLOTILLA]
#   CHARON    path of a Charon binary, v1.10 or later
#   FLOTILLA  path of a flotilla binary; target/release/flotilla if not given
set -eu
charon=${1:?usage: testnet/charon-files.sh CHARON [FLOTILLA]}
root=$(cd "$(dirname "$0")/.." && pwd)
flotilla=${2:-$root/target/release/flotilla}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
address=0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed
addresses="--fee-recipient-addresses $address --withdrawal-addresses $address"
failed=0

say() { printf '%s\n' "$*"; }
fail() { say "FAILED: $*"; failed=1; }

# Charon v1.10 reads up to v1.10.0.
case $("$charon" version) in
v1.10*) version=v1.10.0 ;;
*) version=v1.11.0 ;;
esac
say "$("$charon" version), files of version $version"

public_keys() { # of the keystores in a folder, sorted
    cat "$1"/keystore-*.json | tr ',{}' '\n\n\n' | sed -n 's/.*"pubkey": *"\([0-9a-f]*\)".*/\1/p' | sort
}

ours() { # NAME FLAGS…: flotilla makes, charon combines
    name=$1
    shift
    # shellcheck disable=SC2086
    "$flotilla" create cluster --cluster-dir "$work/$name" --version "$version" --network hoodi $addresses "$@" >"$work/$name.log" 2>&1 ||
        { fail "$name: flotilla create cluster"; cat "$work/$name.log"; return; }
    if [ -f "$work/$name/cluster.tar.gz" ]; then tar -xzf "$work/$name/cluster.tar.gz" -C "$work/$name"; fi
    if "$charon" combine --cluster-dir "$work/$name" --output-dir "$work/$name-charon" >"$work/$name.log" 2>&1 &&
        "$flotilla" combine --cluster-dir "$work/$name" --output-dir "$work/$name-ours" >>"$work/$name.log" 2>&1 &&
        [ "$(public_keys "$work/$name-charon")" = "$(public_keys "$work/$name-ours")" ]; then
        say "ok: $name: made by flotilla, combined by charon"
    else
        fail "$name: charon combine"; cat "$work/$name.log"
    fi
}

theirs() { # NAME FLAGS…: charon makes, flotilla verifies and combines
    name=$1
    shift
    # shellcheck disable=SC2086
    "$charon" create cluster --cluster-dir "$work/$name" --network hoodi --insecure-keys $addresses "$@" >"$work/$name.log" 2>&1 ||
        { fail "$name: charon create cluster"; cat "$work/$name.log"; return; }
    if [ -f "$work/$name/cluster.tar.gz" ]; then tar -xzf "$work/$name/cluster.tar.gz" -C "$work/$name"; fi
    if "$flotilla" cluster verify "$work/$name" >"$work/$name.log" 2>&1 &&
        "$charon" combine --cluster-dir "$work/$name" --output-dir "$work/$name-charon" >>"$work/$name.log" 2>&1 &&
        "$flotilla" combine --cluster-dir "$work/$name" --output-dir "$work/$name-ours" >>"$work/$name.log" 2>&1 &&
        [ "$(public_keys "$work/$name-charon")" = "$(public_keys "$work/$name-ours")" ]; then
        say "ok: $name: made by charon, verified and combined by flotilla"
    else
        fail "$name"; cat "$work/$name.log"
    fi
}

ours plain --nodes 4 --num-validators 2 --insecure-keys
ours full-cost --nodes 4 --num-validators 1
ours amounts --nodes 4 --num-validators 2 --insecure-keys --deposit-amounts 8,8,16,24
ours compounding --nodes 3 --threshold 2 --num-validators 1 --insecure-keys --compounding
ours zipped --nodes 4 --num-validators 1 --insecure-keys --zipped
ours split --nodes 4 --insecure-keys --split-existing-keys --split-keys-dir "$work/plain-charon" --without-slashing-protection
if [ "$(public_keys "$work/split-charon")" != "$(public_keys "$work/plain-charon")" ]; then
    fail "split: other keys came back"
fi

theirs c-plain --nodes 4 --num-validators 2
theirs c-seven --nodes 7 --num-validators 3
theirs c-amounts --nodes 4 --num-validators 1 --deposit-amounts 16,16
theirs c-compounding --nodes 4 --num-validators 1 --compounding
theirs c-zipped --nodes 4 --num-validators 1 --zipped
theirs c-split --nodes 4 --split-existing-keys --split-keys-dir "$work/plain-ours"

# A definition of ours is taken by `charon create cluster`.
enrs=
for operator in 0 1 2 3; do
    "$flotilla" create enr --data-dir "$work/enr$operator" >/dev/null
    enrs="$enrs${enrs:+,}$("$flotilla" enr --data-dir "$work/enr$operator")"
done
# shellcheck disable=SC2086
"$flotilla" create dkg --output-dir "$work" --version "$version" --name ours --network hoodi --operator-enrs "$enrs" $addresses >/dev/null
if "$charon" create cluster --definition-file "$work/cluster-definition.json" --cluster-dir "$work/c-definition" --insecure-keys >"$work/c-definition.log" 2>&1 &&
    "$flotilla" cluster verify "$work/c-definition" >>"$work/c-definition.log" 2>&1; then
    say "ok: definition made by flotilla, cluster made of it by charon"
else
    fail "definition"; cat "$work/c-definition.log"
fi

# `charon run` loads the folder: its beacon node is not there, which it says only after the lock has been verified.
"$charon" run --private-key-file "$work/plain/node0/charon-enr-private-key" --lock-file "$work/plain/node0/cluster-lock.json" \
    --beacon-node-endpoints http://127.0.0.1:1 --p2p-relays "" \
    --validator-api-address 127.0.0.1:0 --monitoring-address 127.0.0.1:0 >"$work/run.log" 2>&1 &
process=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do
    sleep 1
    if grep -q "cluster_hash_full\|Lock file loaded\|lock_hash" "$work/run.log"; then break; fi
done
kill "$process" 2>/dev/null || true
hash=$("$flotilla" cluster show "$work/plain/node0" | sed -n 's/^lock hash *0x//p' | cut -c1-7)
if grep -q "$hash" "$work/run.log"; then
    say "ok: charon run loads the lock (hash $hash)"
else
    fail "charon run"; tail -20 "$work/run.log"
fi
exit $failed
