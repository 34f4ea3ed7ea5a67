# A Debian to install packages in. Sourced, behind ../lib.sh; bash.

# shellcheck disable=SC1091
suite=${SUITE:-$(. /etc/os-release && echo "${VERSION_CODENAME:-}")}

# can_run ARCH: stops where this kernel does not run ARCH's programs.
can_run() {
    local arch=$1 qemu own
    own=$(dpkg --print-architecture)
    [ "$arch" != "$own" ] || return 0
    case $arch in
        arm64) qemu=qemu-aarch64 ;;
        armhf) qemu=qemu-arm ;;
        *) fail "no way here to run programs of $arch" ;;
    esac
    if [ ! -e /proc/sys/fs/binfmt_misc/register ]; then
        mount -t binfmt_misc none /proc/sys/fs/binfmt_misc 2>/dev/null \
            || fail "this kernel has no binfmt_misc, so programs of $arch do not run here" \
                "check that package on another machine, or on the board itself"
        [ ! -d /run/systemd/system ] || systemctl restart systemd-binfmt
    fi
    grep -qs '^flags:.*F' "/proc/sys/fs/binfmt_misc/$qemu" \
        || fail "this kernel does not run programs of $arch" \
            "board/setup package, then: systemctl restart systemd-binfmt"
}

# unpack_root ARCH FOLDER: a small Debian of $suite, without callbox. Kept packed.
unpack_root() {
    local arch=$1 folder=$2 packed=$products/package/root-$suite-$1.tar sound=libasound2t64
    [ "$suite" != bookworm ] || sound=libasound2
    if [ ! -e "$packed" ]; then
        say "making a $suite for $arch"
        mmdebstrap --quiet --format=tar --variant=minbase --architectures="$arch" --mode=root \
            --dpkgopt=force-unsafe-io --include=systemd,systemd-sysv,udev,dbus,init-system-helpers \
            --include="$sound,tzdata,procps,alsa-utils,util-linux" \
            "$suite" "$packed.new" "$(mirror)" \
            || fail "mmdebstrap could not make a $suite for $arch" \
                "look at what it says above; MIRROR and SUITE name another archive or release"
        mv "$packed.new" "$packed"
    fi
    rm -rf --one-file-system "$folder"
    mkdir -p "$folder"
    tar -xpf "$packed" -C "$folder" --numeric-owner --exclude='./dev/*'
    # Maintainer scripts write to it.
    mknod -m 666 "$folder/dev/null" c 1 3
    tree=$folder
}

# inside COMMAND…: runs it in the tree, as in a system that is not running.
inside() {
    DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        chroot "$tree" "$@"
}
