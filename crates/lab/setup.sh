#!/bin/sh
# Installs what the lab needs on Debian 12 or 13: QEMU 10 or newer, mmdebstrap, OVMF and the disk tools.
#
# Run it as root (the continuous integration does). It is quick when everything is there already.
# On Debian 12 QEMU comes from the backports suite of the mirror that this machine already uses;
# no mirror is named here.
set -eu

tools="qemu-system-x86_64 qemu-img mmdebstrap mke2fs debugfs sfdisk mkfs.vfat mcopy tar zstd losetup"
firmware=/usr/share/OVMF/OVMF_CODE_4M.fd

missing() {
    absent=
    for tool in $tools; do
        command -v "$tool" >/dev/null 2>&1 || absent="$absent $tool"
    done
    if command -v qemu-system-x86_64 >/dev/null 2>&1; then
        major=$(qemu-system-x86_64 --version | sed -n 's/^QEMU emulator version \([0-9]*\)\..*/\1/p')
        [ "${major:-0}" -ge 10 ] || absent="$absent qemu>=10"
    fi
    [ -e "$firmware" ] || absent="$absent ovmf"
    printf '%s' "$absent"
}

absent=$(missing)
if [ -z "$absent" ]; then
    echo "lab: every tool is here"
    exit 0
fi
echo "lab: missing:$absent"
if [ "$(id -u)" -ne 0 ]; then
    echo "lab: run this as root to install them" >&2
    exit 1
fi

. /etc/os-release
release=${VERSION_CODENAME:-}
target=
lists=/etc/apt/sources.list.d/passthru-lab-backports
case $release in
bookworm)
    target=bookworm-backports
    if ! grep -rqsw "$target" /etc/apt/sources.list /etc/apt/sources.list.d --include='*.list' --include='*.sources'; then
        # The paragraph (or line) that serves the release itself, with another suite.
        for file in /etc/apt/sources.list.d/*.sources; do
            [ -e "$file" ] || continue
            awk -v RS= -v ORS='\n\n' -v release="$release" -v target="$target" '
                $0 ~ "(^|\n)Suites:[^\n]*[ \t]" release "([ \t]|\n|$)" &&
                $0 ~ "(^|\n)Components:[^\n]*[ \t]main([ \t]|\n|$)" {
                    sub(/Suites:[^\n]*/, "Suites: " target); print; exit
                }' "$file" >"$lists.new"
            if [ -s "$lists.new" ]; then
                mv "$lists.new" "$lists.sources"
                break
            fi
        done
        if [ ! -e "$lists.sources" ]; then
            awk -v release="$release" -v target="$target" '
                $1 == "deb" {
                    for (i = 2; i < NF; i++) if ($i == release) { $i = target; print; exit }
                }' /etc/apt/sources.list /etc/apt/sources.list.d/*.list >"$lists.new" 2>/dev/null || :
            if [ -s "$lists.new" ]; then mv "$lists.new" "$lists.list"; fi
        fi
        rm -f "$lists.new"
        if [ ! -e "$lists.sources" ] && [ ! -e "$lists.list" ]; then
            echo "lab: found no apt source for $release to derive $target from" >&2
            exit 1
        fi
    fi
    ;;
trixie | forky | sid) ;;
*) echo "lab: ${PRETTY_NAME:-this system} is not known here; trying its own packages" >&2 ;;
esac

export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
set -- -qq -y --no-install-recommends -o Dpkg::Use-Pty=0
[ -z "$target" ] || set -- "$@" -t "$target"
# seabios, ipxe-qemu and the others must match QEMU, so all of it comes from one suite.
apt-get install "$@" qemu-system-x86 qemu-system-common qemu-system-data qemu-utils seabios ovmf ipxe-qemu >/dev/null
apt-get install -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 \
    mmdebstrap e2fsprogs dosfstools mtools fdisk mount tar zstd debian-archive-keyring >/dev/null

absent=$(missing)
if [ -n "$absent" ]; then
    echo "lab: still missing:$absent" >&2
    exit 1
fi
echo "lab: ready"
