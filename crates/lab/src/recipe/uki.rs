//! systemd-boot with unified kernel images that kernel-install has made by ukify, dracut.

use super::{Firmware, Loader, Recipe};

/// Debian's kernels are not where `kernel-install add-all` looks for them.
macro_rules! every_kernel {
    () => {
        "for kernel in /boot/vmlinuz-*; do
    kernel-install add \"${kernel#/boot/vmlinuz-}\" \"$kernel\"
done"
    };
}

/// systemd-boot with unified kernel images that kernel-install has made by ukify, dracut.
pub static UKI: Recipe = Recipe {
    name: "base-uki",
    firmware: Firmware::Efi,
    loader: Loader::SystemdBoot,
    // The stub of unified images is in systemd-boot-efi.
    packages: &[
        "dracut",
        "systemd-boot",
        "systemd-boot-efi",
        "systemd-ukify",
        "dosfstools",
    ],
    answers: &[],
    customize: None,
    files: &[(
        "etc/kernel/install.conf",
        0o644,
        "layout=uki\nuki_generator=ukify\ninitrd_generator=dracut\n",
    )],
    prepare: "",
    first_boot: concat!(
        "tr ' ' '\\n' </proc/cmdline | grep -v ^initrd= | paste -sd' ' >/etc/kernel/cmdline
bootctl install --make-machine-id-directory=auto
",
        every_kernel!(),
        "\nsync"
    ),
    regenerate: &[every_kernel!()],
    regenerated: &["/boot/efi/EFI/Linux/"],
};
