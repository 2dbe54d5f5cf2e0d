//! What a host looks like from inside, for tests that need no machine.

use std::time::Duration;

use crate::agent::Agent;
use crate::error::Result;

/// Small attribute files are copied one by one, because sysfs and procfs do not know their sizes. What
/// tools of the boot stack say is in `commands`.
const SCRIPT: &str = r#"room=/run/lab/capture
rm -rf $room && mkdir -p $room && cd / || exit 1
save() { # a file by content; unreadable ones are left out
    case $1 in */rom | */resource[0-9]* |  */uevent.helper) return ;; esac
    mkdir -p "$room/${1%/*}"
    timeout 5 head -c 262144 "$1" >"$room/$1" 2>/dev/null || rm -f "$room/$1"
}
tree() { # a folder of sysfs: folders, links and readable files
    find "$1" -xdev -type d -printf '%p\0' | (cd $room && xargs -0 -r mkdir -p)
    find "$1" -xdev -type l -printf '%p\0' | tar -c --null -T - -f - | tar -x -C $room -f -
    find "$1" -xdev -type f -perm /444 | while read -r file; do save "$file"; done
}
for function in sys/bus/pci/devices/*; do
    tree "$(readlink -f "$function" | cut -c2-)"
done
tree sys/kernel/iommu_groups
for list in sys/bus/pci/devices sys/bus/pci/drivers sys/class/drm sys/class/graphics sys/class/iommu \
    sys/class/input sys/class/net sys/class/block sys/class/vtconsole sys/class/sound; do
    [ ! -d $list ] || find $list -maxdepth 2 -type l -printf '%p\0' | tar -c --null -T - -f - | tar -x -C $room -f -
done
for folder in sys/devices/virtual/vtconsole sys/devices/virtual/block sys/devices/virtual/iommu sys/devices/platform/i8042; do
    [ ! -d $folder ] || tree $folder
done
for file in sys/module/*/refcnt sys/module/*/initstate sys/module/vfio*/parameters/* sys/module/kvm*/parameters/* \
    sys/kernel/security/lockdown sys/firmware/acpi/tables/DMAR sys/firmware/acpi/tables/IVRS; do
    [ ! -f "$file" ] || save "$file"
done
for file in cmdline cpuinfo meminfo iomem interrupts modules mounts self/mountinfo swaps net/route \
    net/ipv6_route version bus/input/devices fb consoles; do
    [ ! -f "proc/$file" ] || save "proc/$file"
done
rm -f $room/proc/self/mounts
mkdir -p $room/boot && ls -la /boot >$room/boot/listing
if [ -d sys/firmware/efi ]; then
    for file in sys/firmware/efi/fw_platform_size sys/firmware/efi/efivars/Boot* \
        sys/firmware/efi/efivars/Loader* sys/firmware/efi/efivars/Stub* sys/firmware/efi/efivars/SecureBoot*; do
        [ ! -f "$file" ] || save "$file"
    done
    # Of kernels and images only the beginning: a unified image has its small sections there.
    find boot/efi -type d -printf '%p\0' | (cd $room && xargs -0 -r mkdir -p)
    find boot/efi -type f | while read -r file; do save "$file"; done
    find boot/efi -ls >$room/boot/listing-efi
fi
mkdir $room/commands
for command in 'bootctl list --json=short' 'bootctl status' 'kernel-install inspect' 'efibootmgr -v' 'dracut --version'; do
    ! command -v "${command%% *}" >/dev/null || $command >"$room/commands/$command" 2>&1
done
kernel=$(uname -r)
{
    find etc/default/grub* etc/initramfs-tools etc/modprobe.d etc/modules etc/modules-load.d etc/fstab \
        etc/os-release usr/lib/os-release etc/kernel usr/lib/modprobe.d boot/grub/grub.cfg \
        etc/dracut.conf etc/dracut.conf.d usr/lib/dracut/dracut.conf.d etc/initramfs usr/lib/kernel etc/machine-id \
        boot/grub/grubenv "boot/config-$kernel" var/lib/initramfs-tools 2>/dev/null
    for list in alias builtin builtin.modinfo dep softdep order builtin.alias; do
        ls "usr/lib/modules/$kernel/modules.$list" 2>/dev/null
    done
    ls -d lib initrd.img vmlinuz 2>/dev/null
} | tar -c --no-recursion -T - -f - | tar -x -C $room -f -
(cd boot && for file in vmlinuz-* initrd.img-* System.map-*; do : >"$room/boot/$file"; done)
tar -c -C $room --owner=0 --group=0 --sort=name -f - . | zstd -q -10"#;

/// A zstd-compressed tar archive of a host's state.
pub fn take(agent: &mut Agent) -> Result<Vec<u8>> {
    let output = agent.run(SCRIPT, Duration::from_secs(600))?;
    crate::ensure!(output.status == 0, "capture failed: {}", output.said());
    Ok(output.out)
}
