#!/usr/bin/env bash
# Installs what the platform needs and this machine lacks: Debian packages, .venv, Kafka's jars.
# Run as root, or as a user who may use sudo. Does nothing, quickly, when nothing is missing.
# `install.sh galera`, `mysql`, `node`, `chromium`, `prometheus` and `wrk` install these alone: few
# targets need them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
has() { PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }

# A space is all right. What these mean to make, supervisord or PYTHONPATH no quotes take away.
case $PWD in
    *[:\;\#\'\"\$%\\]*)
        fail "move this checkout to a path without : ; # ' \" \$ % and backslash: $PWD" ;;
esac

# --- Debian packages -----------------------------------------------------------------------------

# The name of a Python 3.11 that can make a virtual environment; fails if there is none.
find_python() {
    local name
    for name in python3.11 python3; do
        if has "$name" && "$name" -c \
            'import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    return 1
}

# Any Java from 17 on will do.
has_java() {
    local major
    has java || return 1
    major=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
    [ "${major:-0}" -ge 17 ]
}

# What builds the Web Panel's page needs Node.js from 18 on, as Debian 12 has it.
has_node() {
    has node && has npm && node -e 'process.exit(+(parseInt(process.versions.node) < 18))'
}

missing_packages() {
    case ${1:-} in
        # Of STACK=cluster: Galera, and how a node gets its data from another.
        galera)
            has wsrep_sst_mariabackup && [ -e /usr/lib/galera/libgalera_smm.so ] || echo mariadb-server
            has mariadb-backup || echo mariadb-backup
            return ;;
        # Of STACK=mysql, unpacked: libraries of its server. And Maven, to fetch it once.
        mysql)
            [ -e /usr/lib/x86_64-linux-gnu/libaio.so.1 ] || echo libaio1
            [ -e /usr/lib/x86_64-linux-gnu/libnuma.so.1 ] || echo libnuma1
            [ -e "$mysql_stamp" ] || has mvn || echo maven
            return ;;
        node) has_node || echo nodejs npm; return ;;
        chromium) has chromium || echo chromium; return ;;
        prometheus) has promtool || echo prometheus; return ;;
        wrk) has wrk || echo wrk; return ;;
    esac
    has redis-server || echo redis-server
    has mariadbd && has mariadb-install-db || echo mariadb-server-core
    # mariadb-install-db runs it, though its package does not ask for it.
    has my_print_defaults || echo mariadb-client-core
    # The jars need Java to run, and are fetched once by Maven.
    [ -e "$jars_stamp" ] && has java || has_java || echo openjdk-17-jre-headless
    [ -e "$jars_stamp" ] || has mvn || echo maven
    [ -x .venv/bin/python ] || find_python >/dev/null || echo python3 python3-venv
}

install_packages() {
    has apt-get || fail "these Debian packages are missing, and there is no apt-get: $*"
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        has sudo || fail "these Debian packages are missing; install them as root: $*"
        sudo=(sudo)
    fi
    say "installing $*"
    # Packages of servers start them as system services: not here. A policy that exists is kept.
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        # shellcheck disable=SC2064  # expand now: sudo and policy are local
        trap "${sudo[*]} rm -f $policy" EXIT
        printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
        "${sudo[@]}" chmod 755 "$policy"
    fi
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    # Nor at the next boot; only for what we brought.
    if [[ " $* " == *" prometheus "* ]] && has systemctl; then
        "${sudo[@]}" systemctl --quiet disable prometheus.service || true
    fi
}

# --- Python packages -----------------------------------------------------------------------------

install_venv() {
    local stamp=.venv/installed hash
    hash=$(sha256sum requirements.txt tests/requirements.txt)
    if [ -e "$stamp" ] && [ "$(<"$stamp")" = "$hash" ]; then return; fi
    if ! .venv/bin/python -c '' 2>/dev/null; then
        local python
        python=$(find_python) || fail "no Python 3.11 with its venv module: Debian 12 has it"
        say "making .venv with $python"
        rm -rf .venv
        "$python" -m venv .venv
    fi
    say "installing Python packages into .venv (a minute or two the first time)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        -r requirements.txt -r tests/requirements.txt
    echo "$hash" >"$stamp"
}

# --- Kafka's jars --------------------------------------------------------------------------------

install_jars() {
    [ -e "$jars_stamp" ] && return
    say "fetching Kafka's jars"
    local fetched
    fetched=$(mktemp -d "$jars.XXXXXX")
    mvn --batch-mode --quiet -f setup/kafka/pom.xml dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$fetched" \
        || fail "Maven could not fetch Kafka's jars (setup/kafka/pom.xml)"
    chmod 755 "$fetched"
    # Whole or not at all: a fetch cut short leaves no folder that looks finished.
    rm -rf "$jars"
    mv "$fetched" "$jars"
    touch "$jars_stamp"
}

# The platform works without it: its brokers only start slower.
make_archive() {
    [ -e "$jars/classes.jsa" ] && return
    say "archiving Kafka's classes"
    .venv/bin/python -m setup.local.kafka_archive || say "no archive: Kafka will start slower"
}

# --- MySQL's server ------------------------------------------------------------------------------

install_mysql() {
    [ -e "$mysql_stamp" ] && return
    [ "$(uname -sm)" = "Linux x86_64" ] || fail "MySQL's server (setup/mysql/pom.xml) is for Linux on x86_64"
    say "fetching MySQL's server"
    local fetched
    fetched=$(mktemp -d "$mysql.XXXXXX")
    mvn --batch-mode --quiet -f setup/mysql/pom.xml dependency:copy-dependencies \
        -DoutputDirectory="$fetched" \
        || fail "Maven could not fetch MySQL's server (setup/mysql/pom.xml)"
    sha256sum --quiet --check <<<"$mysql_sha256  $(echo "$fetched"/*.jar)" \
        || fail "not the jar that setup/mysql/pom.xml names: $fetched"
    .venv/bin/python -m zipfile -e "$fetched"/*.jar "$fetched"
    mkdir "$fetched/server"
    tar -C "$fetched/server" --no-same-owner -xzf "$fetched/mysql-Linux-amd64.tar.gz"
    touch "$fetched/server/$(basename "$mysql_stamp")"
    rm -rf "$mysql"
    mv "$fetched/server" "$mysql"
    rm -rf "$fetched"
}

jars=$PWD/.cache/kafka/libs
mkdir -p "$(dirname "$jars")"
jars_stamp=$jars/.fetched-$(sha256sum setup/kafka/pom.xml | cut -c1-12)
mysql=$PWD/.cache/mysql
mysql_stamp=$mysql/.fetched-$(sha256sum setup/mysql/pom.xml | cut -c1-12)
mysql_sha256=a893e37643da168bab27c56878bede403d938ead1fc08b74bf85dad66be1f414

mapfile -t packages < <(missing_packages "$@" | tr ' ' '\n')
if [ "${#packages[@]}" -gt 0 ]; then install_packages "${packages[@]}"; fi
if [ "${1:-}" = mysql ]; then install_mysql; fi
[ $# -eq 0 ] || exit 0
install_venv
install_jars
make_archive
