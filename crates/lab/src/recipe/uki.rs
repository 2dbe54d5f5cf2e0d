//! systemd-boot with unified kernel images that kernel-install has made by ukify, dracut.

use super::{Firmware, Loader, Recipe};

/// systemd-boot with unified kernel images that kernel-install has made by ukify, dracut.
pub static UKI: Recipe = Recipe {
    name: "base-uki",
    firmware: Firmware::Efi,
    loader: Loader::SystemdBoot,
    packages: &["dracut", "systemd-boot", "systemd-ukify"],
    answers: &[],
    files: &[(
        "etc/kernel/install.conf",
        0o644,
        "layout=uki\nuki_generator=ukify\ninitrd_generator=dracut\n",
    )],
    prepare: "",
    // Debian's kernels are not where `kernel-install add-all` looks for them.
    first_boot: "tr ' ' '\\n' </proc/cmdline | grep -v ^initrd= | paste -sd' ' >/etc/kernel/cmdline
bootctl install --make-machine-id-directory=auto
for kernel in /boot/vmlinuz-*; do
    kernel-install add \"${kernel#/boot/vmlinuz-}\" \"$kernel\"
done
sync",
};
