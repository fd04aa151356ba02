#!/usr/bin/env bash
# Runs four-node clusters against beacon nodes and validator clients that others wrote, and asks the beacon node what came
# of it. Needs Node.js 20 or 22 and a folder of tools that is no part of this repository:
#   devbn.mjs   a beacon node over Lodestar's libraries, Deneb to Fulu, that checks every signature and counts: /devbn/stats
#   devvc.mjs   a validator client over them
#   bn.sh, vc.sh, engine.mjs, adapter.mjs, check.mjs   the whole Lodestar 1.5.1 (Capella), and a proxy between the APIs of
#               then and now
#
# Usage: testnet/real-clients.sh --tools DIR --install DIR [OPTION…] [SCENARIO…]
#   --tools DIR       the folder with those tools
#   --install DIR     what its setup.sh installed: DIR/libs, and DIR/client for `lodestar`
#   --flotilla FILE   a flotilla binary; target/release/flotilla if not given
#   --forks LIST      of deneb, electra, fulu and across (Deneb, Electra from epoch 2, Fulu from epoch 3)   [all four]
#   --presets LIST    of minimal and mainnet                                                                [minimal]
#   --wires LIST      of json and ssz                                                                       [both]
#   --slot-seconds N  length of a slot; more than the machine needs, or duties are late                     [4]
#   --port N          first of 100 free ports                                                               [21000]
#   --keep DIR        leave all logs there instead of in a temporary folder
# Scenarios (all of them if none is named):
#   alone-devvc  no cluster: devvc.mjs with whole keys; shows what the tools do by themselves
#   alone-vc     no cluster: our own validator client with whole keys
#   devvc        four nodes, each with devvc.mjs --distributed
#   vc           four nodes, each with our own validator client
#   builtin      four nodes with the built-in signer
#   mixed        nodes 0 and 1 sign with the built-in signer, node 2 has devvc.mjs, node 3 our own client
#   stopped      as devvc, node 3 never starts
#   late         as devvc, each node has two beacon nodes, the first of which answers 2 s late
#   failing      as devvc, each node has two beacon nodes, the first of which answers 500
#   lodestar     four nodes with Lodestar 1.5.1 validator clients and its beacon node (Capella, minimal preset, JSON)
# A scenario passes when the beacon node accepted every attestation, aggregate, sync message, contribution and block that
# was due in epochs 1 to 3, refused nothing and saw nothing slashable. For `lodestar`, which keeps no such statistics and
# whose clients cannot aggregate with shares, it is read from the blocks. The exit code is 1 if a scenario failed.
#
# For example, one quick run:  … --forks fulu --wires json devvc
set -euo pipefail
from=$PWD
cd "$(dirname "$0")"
here=$PWD
tools='' install='' flotilla=$here/../target/release/flotilla keep=''
forks=deneb,electra,fulu,across presets=minimal wires=json,ssz seconds=4 port=21000
scenarios=()
while [ $# -gt 0 ]; do
    case $1 in
    --tools) tools=$(cd "$from" && cd "$2" && pwd) ;;
    --install) install=$(cd "$from" && cd "$2" && pwd) ;;
    --flotilla) flotilla=$(cd "$from" && realpath "$2") ;;
    --forks) forks=$2 ;;
    --presets) presets=$2 ;;
    --wires) wires=$2 ;;
    --slot-seconds) seconds=$2 ;;
    --port) port=$2 ;;
    --keep) keep=$(cd "$from" && mkdir -p "$2" && cd "$2" && pwd) ;;
    --*) sed -n '2,/^set -/{/^set -/!s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
    *) scenarios+=("$1"); set -- "" "$@" ;;
    esac
    shift 2
done
[ -n "$tools" ] && [ -n "$install" ] || { echo "usage: testnet/real-clients.sh --tools DIR --install DIR [OPTION…] [SCENARIO…]" >&2; exit 2; }
[ ${#scenarios[@]} -gt 0 ] || scenarios=(alone-devvc alone-vc devvc vc builtin mixed stopped late failing lodestar)

work=${keep:-$(mktemp -d)}
validators=64
address=0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed
failed=0
pids=()
end_processes() { # of this script only; Lodestar ends on nothing less
    [ ${#pids[@]} -eq 0 ] || kill -9 "${pids[@]}" 2>/dev/null || true
    [ ${#pids[@]} -eq 0 ] || wait "${pids[@]}" 2>/dev/null || true
    pids=()
}
trap 'end_processes; [ -n "$keep" ] || rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# The tools import packages from the folder they lie in.
scripts=$work/scripts
mkdir -p "$scripts"
cp "$tools"/dev*.mjs real-clients/*.mjs "$scripts"
ln -sfn "$install/libs/node_modules" "$scripts/node_modules"

start() { # NAME COMMAND…: in the background, with its output in NAME.log
    local name=$1
    shift
    "$@" >"$run/$name.log" 2>&1 &
    pids+=($!)
}
until_served() { # URL
    for _ in $(seq 150); do
        if curl -sf --max-time 2 -o /dev/null "$1"; then return; fi
        sleep 0.2
    done
    echo "nothing at $1" >&2
    return 1
}
sleep_until() { # UNIX SECONDS
    local left=$(($1 - $(date +%s)))
    [ $left -le 0 ] || sleep $left
}
per_epoch() { if [ "$LODESTAR_PRESET" = minimal ]; then echo 8; else echo 32; fi; }

make_cluster() { # FIRST..LAST GENESIS_VERSION CAPELLA_VERSION GENESIS_TIME: splits those keys among four nodes
    network=(--testnet-name trial --testnet-fork-version "$2" --testnet-chain-id 1337
        --testnet-genesis-timestamp "$4" --testnet-capella-hard-fork "$3")
    node "$scripts/keys.mjs" interop "$1" "$run/keys"
    "$flotilla" create cluster --cluster-dir "$run/cluster" --nodes 4 --insecure-keys "${network[@]}" \
        --split-existing-keys --split-keys-dir "$run/keys" --without-slashing-protection \
        --fee-recipient-addresses $address --withdrawal-addresses $address >"$run/create.log" 2>&1
}
api_port() { echo $((port + 30 + $1)); }
start_node() { # INDEX SIGNER BEACON_URLS
    local peers=()
    for peer in 0 1 2 3; do
        [ "$peer" = "$1" ] || peers+=(--p2p-peer "$peer=/ip4/127.0.0.1/tcp/$((port + 20 + peer))")
    done
    local signer=(--signer "$2")
    [ "$2" = builtin ] || signer+=(--validator-api-address "127.0.0.1:$(api_port "$1")")
    start "node$1" "$flotilla" run --data-dir "$run/cluster/node$1" --beacon-node-endpoints "$3" "${network[@]}" \
        --p2p-tcp-address "127.0.0.1:$((port + 20 + $1))" "${peers[@]}" \
        --monitoring-address "127.0.0.1:$((port + 40 + $1))" --log-color disable "${signer[@]}"
}
start_client() { # devvc|vc NAME URL SLOTS [FLAG…]
    local kind=$1 name=$2 url=$3 slots=$4
    shift 4
    [ "$wire" = json ] || set -- "$@" --ssz
    case $kind in
    devvc) start "$name" node "$scripts/devvc.mjs" --bn "$url" --slots "$slots" "$@" ;;
    vc) start "$name" "$flotilla" testnet validator-client --beacon-node "$url" --slots "$slots" --log-color disable "$@" ;;
    esac
}
client_failures() { # what the clients counted as failed, by their last lines
    tail -qn 1 "$run"/client*.log 2>/dev/null | grep -o 'failed":[0-9]*' | awk -F: '{n += $2} END {print n + 0}'
}

row() { printf '%-12s %-8s %-8s %-5s %-7s %-10s %-10s %-12s %-12s %-9s %-8s %-9s %-6s\n' "$@"; }
row scenario fork preset wire result votes aggregates sync contribs blocks rejected slashable client

judge() { # SCENARIO FORK: asks the proxy
    local first last line
    first=$(per_epoch)
    last=$((4 * first - 1))
    line=$(curl -s --max-time 300 "http://127.0.0.1:$((port + 1))/tally?first=$first&last=$last") || line="FAILED - - - - - - - no answer from the proxy"
    local result votes aggregates sync contributions blocks rejected slashable missed
    read -r result votes aggregates sync contributions blocks rejected slashable missed <<<"$line"
    row "$1" "$2" "$LODESTAR_PRESET" "$wire" "$result" "$votes" "$aggregates" "$sync" "$contributions" "$blocks" "$rejected" "$slashable" "$(client_failures)"
    [ "$result" = ok ] || { failed=1; [ -z "$missed" ] || echo "    missed: $missed"; }
}

run_scenario() { # SCENARIO FORK
    local scenario=$1 fork=$2 genesis chain slots
    local capella=0x03000001
    [ "$LODESTAR_PRESET" = minimal ] || capella=0x03000000
    genesis=$(($(date +%s) + 20))
    slots=$((4 * $(per_epoch) + 1))
    chain=(--fork "$fork")
    [ "$fork" != across ] || chain=(--fork deneb --electra-epoch 2 --fulu-epoch 3)
    # A version no known network has, so that nothing takes the chain for one.
    start beacon node "$scripts/devbn.mjs" --port "$port" --slot-seconds "$seconds" --validators $validators \
        --genesis-time "$genesis" --config GENESIS_FORK_VERSION=0x10f10700 "${chain[@]}"
    until_served "http://127.0.0.1:$port/eth/v1/node/version" || return 1
    local plain=http://127.0.0.1:$((port + 1)) bad=http://127.0.0.1:$((port + 2)) how=''
    case $scenario in
    late) how=:late=2000 ;;
    failing) how=:fail=500 ;;
    esac
    start proxy node "$scripts/proxy.mjs" --target "http://127.0.0.1:$port" --listen $((port + 1)) --listen $((port + 2))$how
    local urls=$plain
    [ -z "$how" ] || urls=$bad,$plain
    case $scenario in
    alone-*) start_client "${scenario#alone-}" client "$plain" $slots --interop 0..$((validators - 1)) \
        $([ "$scenario" = alone-devvc ] || echo "--distributed false") ;;
    *)
        make_cluster 0..$((validators - 1)) 0x10f10700 $capella "$genesis" || return 1
        local index
        for index in 0 1 2 3; do
            local client=devvc
            case $scenario$index in
            vc?|mixed3) client=vc ;;
            builtin?|mixed[01]) client=builtin ;;
            stopped3) continue ;;
            esac
            if [ $client = builtin ]; then start_node $index builtin "$urls"; continue; fi
            start_node $index vc "$urls"
            local shares=$run/cluster/node$index/validator_keys
            start_client $client client$index "http://127.0.0.1:$(api_port $index)" $slots --keystores "$shares" \
                $([ $client = vc ] || echo --distributed)
        done
        ;;
    esac
    sleep_until $((genesis + (slots + 2) * seconds))
    judge "$scenario" "$fork"
}

run_lodestar() { # the cluster has 8 validators; a plain client of the beacon node has the others, and aggregates
    local genesis version capella index
    export SLOT_SECONDS=$seconds VALIDATORS=$validators CAPELLA_EPOCH=0
    genesis=$(($(date +%s) + 45))
    start engine node "$tools/engine.mjs" --port $((port + 3))
    start beacon env GENESIS_TIME="$genesis" PORT=$((port + 4)) ENGINE="http://127.0.0.1:$((port + 3))" \
        "$tools/bn.sh" "$install" "$run/lodestar"
    local beacon=http://127.0.0.1:$((port + 4)) adapted=http://127.0.0.1:$((port + 1))
    until_served $beacon/eth/v1/node/version || return 1
    start adapter node "$tools/adapter.mjs" --old-bn --listen $((port + 1)) --target $beacon
    until_served $adapted/eth/v1/node/version || return 1
    # Not the configuration's: its genesis is in a later fork.
    version=$(curl -sf $adapted/eth/v1/beacon/genesis | grep -o 'genesis_fork_version":"0x[0-9a-f]*' | cut -d'"' -f3)
    capella=$(curl -sf $adapted/eth/v1/config/spec | grep -o 'CAPELLA_FORK_VERSION":"0x[0-9a-f]*' | cut -d'"' -f3)
    start others "$tools/vc.sh" "$install" "$run/lodestar" others $beacon --interopIndexes 8..$((validators - 1))
    make_cluster 0..7 "$version" "$capella" "$genesis" || return 1
    echo trial >"$run/password"
    for index in 0 1 2 3; do
        start_node $index vc $adapted
        # Lodestar takes one password for all keystores.
        node "$scripts/keys.mjs" rekey "$run/cluster/node$index/validator_keys" "$run/shares$index" trial
        start "adapter$index" node "$tools/adapter.mjs" --old-vc --listen $((port + 50 + index)) --target "http://127.0.0.1:$(api_port $index)"
        until_served "http://127.0.0.1:$((port + 50 + index))/eth/v1/node/version" || return 1
        start "client$index" "$tools/vc.sh" "$install" "$run/lodestar" vc$index "http://127.0.0.1:$((port + 50 + index))" \
            --importKeystores "$run/shares$index" --importKeystoresPassword "$run/password"
    done
    sleep_until $((genesis + (4 * $(per_epoch) + 3) * seconds))
    local line result votes sync missed
    line=$(node "$tools/check.mjs" $beacon "$(per_epoch)") || line='{}'
    votes=$(grep -o 'attestations":"[0-9/]*' <<<"$line" | cut -d'"' -f3)
    sync=$(grep -o 'syncBitsPerBlock":[0-9.]*' <<<"$line" | cut -d: -f2)
    missed=$(grep -o 'missed":\[[^]]*' <<<"$line" | cut -d[ -f2)
    # Of 32 sync bits a block, a beacon node of that age leaves out one now and then with its own client alone.
    result=FAILED
    [ -n "$votes" ] && [ "${votes%/*}" = "${votes#*/}" ] && [ -z "$missed" ] && awk "BEGIN {exit !(${sync:-0} >= 31)}" && result=ok
    row lodestar capella minimal json $result "$votes" - "$sync/32" - "missed:${missed:-0}" - - -
    [ $result = ok ] || failed=1
}

count=0
wire=json
prepare_run() { # NAME: a folder for it
    count=$((count + 1))
    run=$work/$count-$1
    rm -rf "$run"
    mkdir -p "$run"
}
for scenario in "${scenarios[@]}"; do
    if [ "$scenario" = lodestar ]; then
        export LODESTAR_PRESET=minimal
        prepare_run lodestar
        run_lodestar || { echo "lodestar: did not start"; failed=1; }
        end_processes
        continue
    fi
    for preset in ${presets//,/ }; do
        export LODESTAR_PRESET=$preset
        for fork in ${forks//,/ }; do
            for wire in ${wires//,/ }; do
                prepare_run "$scenario-$fork-$preset-$wire"
                run_scenario "$scenario" "$fork" || { echo "$scenario: did not start"; failed=1; }
                end_processes
            done
        done
    done
done
[ -z "$keep" ] || echo "logs in $work"
exit $failed
