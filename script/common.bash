# Sourced by the scripts of this folder: where the tree is, and how a step is announced. Not a program of its own.
# shellcheck shell=bash

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export root
jobs="${LOYAL_JOBS:-$(nproc)}"
export jobs

# Colours only where somebody looks.
if [[ -t 1 ]]; then
    bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
    bold='' red='' green='' plain=''
fi
export bold red green plain

say() { printf '%s==> %s%s\n' "$bold" "$*" "$plain"; }
complain() { printf '%s%s: %s%s\n' "$red" "$(basename "$0")" "$*" "$plain" >&2; }

# Prints a command as a shell would read it, then runs it.
run() {
    printf '  $'
    printf ' %q' "$@"
    printf '\n'
    "$@"
}

# Milliseconds of a clock that an operator's step of the wall clock does not move.
now_ms() {
    local uptime
    read -r uptime _ < /proc/uptime
    uptime="${uptime/./}"
    printf '%d' "$((10#$uptime * 10))"
}

# 12345 -> 12.3 s
seconds() { printf '%d.%d s' "$(($1 / 1000))" "$(($1 % 1000 / 100))"; }

# Debian and Ubuntu name their default clang without a version; a machine with only a versioned one works, too.
find_clang() {
    local name
    for name in "$1" "$1-14" "$1-18"; do
        if command -v "$name" > /dev/null; then
            printf '%s' "$name"
            return 0
        fi
    done
    complain "no $1 found; script/bootstrap installs it"
    return 1
}

# Configures a preset when it was not, or when the presets or the list of arguments changed.
configure() {
    local preset="$1"
    shift
    local stamp="$root/build/$preset/.configured" wanted
    wanted="$(cksum < "$root/CMakePresets.json") $*"
    if [[ -f "$stamp" && -f "$root/build/$preset/build.ninja" && "$(cat "$stamp")" == "$wanted" ]]; then
        return 0
    fi
    (cd "$root" && cmake --preset "$preset" "$@" > "/tmp/loyal-configure-$$.log" 2>&1) || {
        cat "/tmp/loyal-configure-$$.log"
        rm -f "/tmp/loyal-configure-$$.log"
        return 1
    }
    rm -f "/tmp/loyal-configure-$$.log"
    printf '%s' "$wanted" > "$stamp"
}
