# shellcheck shell=sh disable=SC2034 # what it sets is for who sources it
# What the scripts of board/ share. Sourced, never run; POSIX sh.
#
#   . "$(dirname "$0")/lib.sh"        from board/, or ../lib.sh from a folder below it
#
# Gives: $top, the checkout; $products, the folder for all that is made and kept (below
# cargo's target folder, never in the sources); and the functions below. Those that check
# stop the script with what is missing and what to do: call them before any work.

# Programs that make file systems lie where a plain user's PATH does not look.
PATH=$PATH:/usr/sbin:/sbin

top=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
script=${0##*/}
until [ -e "$top/board/lib.sh" ]; do
    script=${top##*/}/$script
    top=${top%/*}
    [ -n "$top" ] || { echo "$0: not within a checkout of callbox" >&2; exit 1; }
done

case ${CARGO_TARGET_DIR:-} in
    '') products=$top/target/board ;;
    /*) products=$CARGO_TARGET_DIR/board ;;
    *) products=$PWD/$CARGO_TARGET_DIR/board ;;
esac

# say TEXT: a line for who watches.
say() { printf '%s: %s\n' "$script" "$*"; }

# fail MESSAGE [WHAT-TO-DO…]: ends the script; each further argument is a line of advice.
fail() {
    printf '%s: %s\n' "$script" "$1" >&2
    shift
    for advice in "$@"; do printf '    %s\n' "$advice" >&2; done
    exit 1
}

# need COMMAND PACKAGE [COMMAND PACKAGE]…: all that is missing, said at once.
need() {
    absent="" packages=""
    while [ $# -ge 2 ]; do
        if ! command -v "$1" >/dev/null 2>&1; then
            absent="$absent $1"
            packages="$packages $2"
        fi
        shift 2
    done
    [ -z "$absent" ] || fail "missing:$absent" "apt-get install$packages"
}

# has_package PACKAGE[:ARCH]: whether it is installed, by default for this machine.
has_package() {
    case $1 in
        *:*) wanted_arch=${1#*:} ;;
        *) wanted_arch=$(dpkg --print-architecture) ;;
    esac
    dpkg-query -W -f '${db:Status-Status} ${Architecture}\n' "${1%:*}" 2>/dev/null \
        | grep -qE "^installed ($wanted_arch|all)\$"
}

# need_package GROUP PACKAGE…: Debian packages that are no commands, of a group of board/setup.
need_package() {
    group=$1 absent=""
    shift
    command -v dpkg-query >/dev/null 2>&1 \
        || fail "this is not Debian, Ubuntu or Raspberry Pi OS; wanted: $*"
    for package in "$@"; do has_package "$package" || absent="$absent $package"; done
    [ -z "$absent" ] || fail "missing:$absent" "board/setup $group"
}

# need_root WHY.
need_root() {
    [ "$(id -u)" -eq 0 ] || fail "root is needed: $1" "sudo $0"
}

# need_disk MB DIR: room in the file system that DIR is in, or will be in.
need_disk() {
    place=$2
    until [ -d "$place" ]; do place=$(dirname -- "$place"); done
    free=$(df -Pk "$place" | awk 'NR == 2 { print int($4 / 1024) }')
    [ "$free" -ge "$1" ] || fail "$place has $free MB free, $1 MB are needed" \
        "make room there, or set CARGO_TARGET_DIR to a folder on a larger disk"
}

# facts_of TARGET: sets $deb_arch and $triple (Debian's names), or stops.
facts_of() {
    case $1 in
        aarch64-unknown-linux-gnu) deb_arch=arm64 triple=aarch64-linux-gnu ;;
        armv7-unknown-linux-gnueabihf) deb_arch=armhf triple=arm-linux-gnueabihf ;;
        *) fail "no such target: $1" \
            "aarch64-unknown-linux-gnu    Pi Zero 2 W, 3, 4, 5 with a 64-bit system" \
            "armv7-unknown-linux-gnueabihf    Pi 2 and newer with a 32-bit system" ;;
    esac
}

# mirror: the Debian archive of this machine's own apt settings; MIRROR overrides it.
mirror() {
    if [ -n "${MIRROR:-}" ]; then
        echo "$MIRROR"
        return
    fi
    # shellcheck disable=SC2016 # the names are apt's
    archive=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(COMPONENT) $(REPO_URI)' \
        'Created-By: Packages' 2>/dev/null \
        | awk '$1 == "Debian" && $2 == "Debian" && $3 == "main" { print $4; exit }')
    [ -n "$archive" ] || fail "apt's settings name no archive of Debian" \
        "set MIRROR to the address of one, and run this again"
    echo "$archive"
}
