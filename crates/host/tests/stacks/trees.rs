//! Hosts of every boot stack as trees, written from the documentation of their distributions: the
//! files that passthru reads, and those that their tools write.

use std::fmt::Write as _;

use crate::observe_builder::{Host, Pci, cpio};

pub(crate) const RELEASE: &str = "6.12.48-1-amd64";
const OLDER: &str = "6.12.43-1-amd64";
pub(crate) const ORIGIN: &str = "[origin]\nrefspec=fedora\n";

/// A boot stack.
pub(crate) struct Stack {
    /// Distribution and firmware, as the table has it.
    pub(crate) name: &'static str,
    pub(crate) loader: &'static str,
    pub(crate) generator: &'static str,
    /// The lab's scenario that boots it, if one does.
    pub(crate) scenario: Option<&'static str>,
    pub(crate) build: fn(&Host),
}

pub(crate) const STACKS: [Stack; 17] = [
    Stack {
        name: "Debian, Ubuntu",
        loader: "GRUB",
        generator: "initramfs-tools",
        scenario: Some("static"),
        build: debian,
    },
    Stack {
        name: "Debian, Ubuntu from 25.10",
        loader: "GRUB",
        generator: "dracut",
        scenario: Some("efi-dracut"),
        build: debian_dracut,
    },
    Stack {
        name: "Debian",
        loader: "systemd-boot, kernel-install",
        generator: "initramfs-tools",
        scenario: Some("systemd-boot"),
        build: debian_systemd_boot,
    },
    Stack {
        name: "Debian",
        loader: "unified images, ukify",
        generator: "dracut",
        scenario: Some("uki"),
        build: debian_unified,
    },
    Stack {
        name: "Arch and its kin",
        loader: "GRUB without drop-ins",
        generator: "mkinitcpio, busybox",
        scenario: None,
        build: arch_grub,
    },
    Stack {
        name: "Arch",
        loader: "systemd-boot, entries by hand",
        generator: "mkinitcpio, systemd",
        scenario: None,
        build: arch_by_hand,
    },
    Stack {
        name: "Arch",
        loader: "unified images, mkinitcpio",
        generator: "mkinitcpio, systemd",
        scenario: None,
        build: arch_unified,
    },
    Stack {
        name: "Arch",
        loader: "GRUB without drop-ins",
        generator: "booster",
        scenario: None,
        build: arch_booster,
    },
    Stack {
        name: "Manjaro",
        loader: "GRUB without drop-ins",
        generator: "mkinitcpio, busybox",
        scenario: None,
        build: manjaro,
    },
    Stack {
        name: "EndeavourOS",
        loader: "systemd-boot, kernel-install",
        generator: "dracut, by kernel-install",
        scenario: None,
        build: endeavouros,
    },
    Stack {
        name: "Fedora, RHEL",
        loader: "GRUB, BLS entries",
        generator: "dracut",
        scenario: None,
        build: fedora,
    },
    Stack {
        name: "Fedora, Arch",
        loader: "unified images, dracut",
        generator: "dracut",
        scenario: None,
        build: dracut_unified,
    },
    Stack {
        name: "openSUSE classic",
        loader: "grub2",
        generator: "dracut",
        scenario: None,
        build: opensuse,
    },
    Stack {
        name: "Pop!_OS",
        loader: "systemd-boot, kernelstub",
        generator: "initramfs-tools",
        scenario: None,
        build: pop,
    },
    Stack {
        name: "Fedora Atomic",
        loader: "rpm-ostree",
        generator: "rpm-ostree",
        scenario: None,
        build: silverblue,
    },
    Stack {
        name: "Proxmox VE, ZFS root",
        loader: "systemd-boot, proxmox-boot-tool",
        generator: "initramfs-tools",
        scenario: None,
        build: proxmox,
    },
    Stack {
        name: "Proxmox VE",
        loader: "GRUB, proxmox-boot-tool",
        generator: "initramfs-tools",
        scenario: None,
        build: proxmox_grub,
    },
];

/// The card to give away, and where its twin would be.
pub(crate) const CARD: &str = "0000:01:00.0";
pub(crate) const FUNCTIONS: [&str; 2] = ["0000:01:00.0", "0000:01:00.1"];

/// A desktop whose picture comes from the processor's graphics, and a card of two functions; with a
/// twin of the card, ids cannot tell the two apart.
pub(crate) fn hardware(host: &Host, twin: bool) {
    let card = |bus: &str, group| {
        let above = format!("pci0000:00/0000:00:0{bus}.0");
        for (function, class, device, driver) in [
            (0, 0x03_0000, 0x1f08, "nouveau"),
            (1, 0x04_0300, 0x10f9, "snd_hda_intel"),
        ] {
            host.function(&Pci {
                address: &format!("0000:0{bus}:00.{function}"),
                above: &above,
                class,
                ids: (0x10de, device),
                driver: Some(driver),
                group: Some(group),
                ..Pci::default()
            });
        }
    };
    card("1", 1);
    if twin {
        card("2", 2);
    }
    let graphics = host.function(&Pci {
        address: "0000:00:02.0",
        above: "pci0000:00",
        ids: (0x8086, 0x3e92),
        driver: Some("i915"),
        group: Some(0),
        ..Pci::default()
    });
    host.file(&format!("{graphics}/boot_vga"), "1\n")
        .file(&format!("{graphics}/drm/card0/dev"), "226:0\n")
        .file(
            &format!("{graphics}/drm/card0/card0-HDMI-A-1/status"),
            "connected\n",
        )
        .file("/sys/class/iommu/dmar0/intel-iommu/cap", "d2008c40660462\n")
        .file("/sys/firmware/acpi/tables/DMAR", "")
        .file("/sys/kernel/irq/24/chip_name", "IR-PCI-MSI\n")
        .file(
            "/proc/cpuinfo",
            "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: vmx\n",
        )
        .link(
            "/sys/dev/block/254:2",
            "../../devices/virtio0/block/vda/vda2",
        )
        .link(
            "/sys/dev/block/254:1",
            "../../devices/virtio0/block/vda/vda1",
        )
        .file("/sys/devices/virtio0/block/vda/dev", "254:0\n")
        .file("/sys/devices/virtio0/block/vda/vda1/dev", "254:1\n")
        .file("/sys/devices/virtio0/block/vda/vda2/dev", "254:2\n")
        .file("/proc/modules", "")
        .file("/proc/sys/kernel/osrelease", format!("{RELEASE}\n"))
        .file("/run/passthru-capture/boot-free", "900000000\n");
}

fn kernel(host: &Host, release: &str) {
    let modules = format!("/usr/lib/modules/{release}");
    host.link("lib", "usr/lib")
        .file(
            &format!("{modules}/modules.dep"),
            "kernel/drivers/vfio/pci/vfio-pci.ko.xz:\nkernel/drivers/gpu/drm/nouveau/nouveau.ko.xz:\n",
        )
        .file(&format!("{modules}/modules.builtin"), "")
        .file(
            &format!("{modules}/modules.alias"),
            "alias pci:v000010DEd*sv*sd*bc03sc*i* nouveau\nalias pci:v*d*sv*sd*bc04sc03i00* snd_hda_intel\n",
        )
        .directory("/etc/modprobe.d");
}

fn os(host: &Host, id: &str) {
    host.file("/etc/os-release", format!("ID={id}\n"));
}

fn boots(host: &Host, cmdline: &str) {
    host.file("/proc/cmdline", format!("{cmdline}\n"));
}

fn image(host: &Host, path: &str) {
    host.file(path, cpio(&[("init", Some(b"stock"))]));
}

/// GRUB's own script of entries, as far as it reads variables.
const LINUX: &str = "#!/bin/sh
entry() {
	echo \"menuentry '$1' --class os \\$menuentry_id_option '$2' {\"
	echo \"	linux	/boot/vmlinuz-x root=UUID=1 ro $3\"
	echo \"	initrd	/boot/initrd.img-x\"
	echo '}'
}
entry Linux gnulinux-simple-1 \"$GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT\"
echo \"submenu 'Advanced options' \\$menuentry_id_option 'gnulinux-advanced-1' {\"
entry 'Linux x' gnulinux-x-advanced-1 \"$GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT\"
[ \"$GRUB_DISABLE_RECOVERY\" = true ] || entry 'Linux x (recovery mode)' gnulinux-x-recovery-1 \"${GRUB_CMDLINE_LINUX_RECOVERY:-single} $GRUB_CMDLINE_LINUX\"
echo '}'
";

/// GRUB's own script that reads an administrator's entries at boot.
const CUSTOM: &str = "#!/bin/sh
cat <<'EOF'
if [ -f  ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
fi
EOF
";

fn grub(host: &Host, directory: &str, drop_ins: bool) {
    let script = if drop_ins {
        "#!/bin/sh\nfor x in /etc/default/grub.d/*.cfg; do . \"$x\"; done\n"
    } else {
        "#!/bin/sh\n"
    };
    let two = directory.ends_with('2');
    let tool = if two {
        "grub2-mkconfig"
    } else {
        "grub-mkconfig"
    };
    host.executable(&format!("/usr/sbin/{tool}"), script)
        .executable("/etc/grub.d/10_linux", LINUX)
        .file(
            "/etc/default/grub",
            "GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT='quiet'\nGRUB_CMDLINE_LINUX=\"\"\n",
        )
        .executable("/etc/grub.d/41_custom", CUSTOM)
        .file(&format!("{directory}/grub.cfg"), "");
    grubenv(host, directory);
    host.file(
        "/proc/self/mountinfo",
        "36 1 254:2 / / rw - ext4 /dev/vda2 rw\n",
    );
    boots(host, "BOOT_IMAGE=/boot/vmlinuz-x root=UUID=1 ro quiet");
}

/// GRUB's environment block: 1024 bytes, filled with `#`.
fn grubenv(host: &Host, directory: &str) {
    let block = format!("{:#<1024}", "# GRUB Environment Block\n");
    host.file(&format!("{directory}/grubenv"), block);
}

fn firmware(host: &Host, name: &str, text: &str) {
    let units = text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes);
    host.file(
        &format!("/sys/firmware/efi/efivars/{name}-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"),
        [6, 0, 0, 0].into_iter().chain(units).collect::<Vec<_>>(),
    );
}

fn systemd_boot(host: &Host) {
    firmware(host, "LoaderInfo", "systemd-boot 257.13");
    host.file("/boot/efi/loader/loader.conf", "timeout 3\n").file(
        "/proc/self/mountinfo",
        "36 1 254:2 / / rw - ext4 /dev/vda2 rw\n37 36 254:1 / /boot/efi rw - vfat /dev/vda1 rw\n",
    );
    boots(host, "initrd=\\x root=UUID=1 ro quiet");
}

fn initramfs_tools(host: &Host, releases: &[&str]) {
    host.executable(
        "/usr/sbin/update-initramfs",
        "#!/bin/sh\nmkinitramfs \"$@\"\n",
    )
    .file(
        "/etc/initramfs-tools/initramfs.conf",
        "MODULES=most\nCOMPRESS=zstd\n",
    );
    for release in releases {
        kernel(host, release);
        host.file(&format!("/boot/vmlinuz-{release}"), "kernel");
        image(host, &format!("/boot/initrd.img-{release}"));
    }
}

fn dracut(host: &Host, start: &str, end: &str) {
    kernel(host, RELEASE);
    host.executable("/usr/bin/dracut", "#!/bin/bash\n")
        .file(&format!("/boot/vmlinuz-{RELEASE}"), "kernel");
    image(host, &format!("/boot/{start}{RELEASE}{end}"));
}

fn debian(host: &Host) {
    os(host, "debian");
    grub(host, "/boot/grub", true);
    initramfs_tools(host, &[OLDER, RELEASE]);
}

fn debian_dracut(host: &Host) {
    os(host, "ubuntu");
    grub(host, "/boot/grub", true);
    dracut(host, "initrd.img-", "");
    host.executable("/usr/sbin/update-initramfs", "#!/bin/sh\ndracut \"$@\"\n");
}

/// An entry as kernel-install writes it.
pub(crate) fn entry(release: &str, words: &str) -> String {
    format!(
        "title Debian\nversion {release}\nmachine-id token\nsort-key debian\noptions {words}\nlinux /token/{release}/linux\ninitrd /token/{release}/initrd.img-{release}\n"
    )
}

fn debian_systemd_boot(host: &Host) {
    os(host, "debian");
    systemd_boot(host);
    initramfs_tools(host, &[OLDER, RELEASE]);
    host.file("/etc/kernel/entry-token", "token\n")
        .file("/etc/kernel/cmdline", "root=UUID=1 ro quiet\n")
        .executable("/etc/initramfs/post-update.d/systemd-boot", "#!/bin/sh\n");
    for release in [OLDER, RELEASE] {
        host.file(&format!("/boot/efi/token/{release}/linux"), "kernel")
            .file(
                &format!("/boot/efi/loader/entries/token-{release}.conf"),
                entry(release, "root=UUID=1 ro quiet"),
            );
        image(
            host,
            &format!("/boot/efi/token/{release}/initrd.img-{release}"),
        );
    }
}

/// A unified kernel image: a PE file with the sections that count.
pub(crate) fn unified(release: &str, words: &str, initrd: &[u8]) -> Vec<u8> {
    let sections: [(&str, &[u8]); 5] = [
        (".osrel", b"ID=linux\nPRETTY_NAME=Linux\n"),
        (".uname", release.as_bytes()),
        (".cmdline", words.as_bytes()),
        (".linux", b"kernel"),
        (".initrd", initrd),
    ];
    let mut head = vec![0; 0x40];
    head[..2].copy_from_slice(b"MZ");
    head[0x3c] = 0x40;
    head.extend(b"PE\0\0\x64\x86");
    head.extend(u16::try_from(sections.len()).expect("few").to_le_bytes());
    head.extend([0; 16]);
    let start = head.len() + 40 * sections.len();
    let mut body = Vec::new();
    for (name, content) in sections {
        let mut line = [0; 40];
        line[..name.len()].copy_from_slice(name.as_bytes());
        let size = u32::try_from(content.len()).expect("small").to_le_bytes();
        line[8..12].copy_from_slice(&size);
        line[16..20].copy_from_slice(&size);
        let offset = u32::try_from(start + body.len()).expect("small");
        line[20..24].copy_from_slice(&offset.to_le_bytes());
        head.extend(line);
        body.extend_from_slice(content);
    }
    head.extend(body);
    head
}

fn no_secure_boot(host: &Host) {
    host.file(
        "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
        [6, 0, 0, 0, 0],
    );
}

fn unified_host(host: &Host, path: &str) {
    systemd_boot(host);
    firmware(host, "StubInfo", "systemd-stub 257.13");
    no_secure_boot(host);
    host.file("/etc/kernel/cmdline", "root=UUID=1 ro quiet\n")
        .file(
            path,
            unified(
                RELEASE,
                "root=UUID=1 ro quiet",
                &cpio(&[("init", Some(b"stock"))]),
            ),
        );
}

fn debian_unified(host: &Host) {
    os(host, "debian");
    unified_host(host, &format!("/boot/efi/EFI/Linux/token-{RELEASE}.efi"));
    dracut(host, "initrd.img-", "");
    host.executable("/usr/sbin/update-initramfs", "#!/bin/sh\ndracut \"$@\"\n")
        .file("/etc/kernel/entry-token", "token\n")
        .file(
            "/etc/kernel/install.conf",
            "layout=uki\ninitrd_generator=dracut\nuki_generator=ukify\n",
        );
}

const PRESET: &str =
    "# mkinitcpio preset file for the 'linux' package\n\nALL_kver=\"/boot/vmlinuz-linux\"\n";

fn mkinitcpio(host: &Host, hooks: &str, preset: &str) {
    kernel(host, RELEASE);
    host.file(&format!("/usr/lib/modules/{RELEASE}/pkgbase"), "linux\n")
        .file("/boot/vmlinuz-linux", "kernel")
        .executable(
            "/usr/bin/mkinitcpio",
            "#!/bin/bash\n_d_config=/etc/mkinitcpio.conf.d\n",
        )
        .file(
            "/etc/mkinitcpio.conf",
            format!("# vim:set ft=sh\nMODULES=()\nBINARIES=()\nFILES=()\n\nHOOKS=({hooks})\n"),
        )
        .file(
            "/etc/mkinitcpio.d/linux.preset",
            format!("{PRESET}{preset}"),
        );
}

fn arch_grub(host: &Host) {
    os(host, "arch");
    grub(host, "/boot/grub", false);
    mkinitcpio(
        host,
        "base udev autodetect modconf\n  block filesystems",
        "PRESETS=('default' 'fallback')\ndefault_image=\"/boot/initramfs-linux.img\"\nfallback_image=\"/boot/initramfs-linux-fallback.img\"\nfallback_options=\"-S autodetect\"\n",
    );
    image(host, "/boot/initramfs-linux.img");
    image(host, "/boot/initramfs-linux-fallback.img");
}

/// The partition is /boot, and the preset names its configuration, as before mkinitcpio 36.
fn arch_by_hand(host: &Host) {
    os(host, "arch");
    firmware(host, "LoaderInfo", "systemd-boot 257.13");
    mkinitcpio(
        host,
        "base systemd autodetect block",
        "ALL_config=\"/etc/mkinitcpio.conf\"\nPRESETS=('default')\ndefault_image=\"/boot/initramfs-linux.img\"\n",
    );
    image(host, "/boot/initramfs-linux.img");
    host.file("/boot/loader/loader.conf", "default arch.conf\n")
        .file(
            "/proc/self/mountinfo",
            "36 1 254:2 / / rw - ext4 /dev/vda2 rw\n37 36 254:1 / /boot rw - vfat /dev/vda1 rw\n",
        )
        .file(
            "/boot/loader/entries/arch.conf",
            "title\tArch Linux\nlinux\t/vmlinuz-linux\ninitrd\t/initramfs-linux.img\noptions\troot=UUID=1  rw\n",
        );
    boots(host, "initrd=\\initramfs-linux.img root=UUID=1 rw");
}

fn arch_unified(host: &Host) {
    os(host, "arch");
    unified_host(host, "/boot/efi/EFI/Linux/arch-linux.efi");
    mkinitcpio(
        host,
        "base systemd autodetect block",
        "PRESETS=('default' 'fallback')\n#default_image=\"/boot/initramfs-linux.img\"\ndefault_uki=\"/boot/efi/EFI/Linux/arch-linux.efi\"\nfallback_uki=\"/boot/efi/EFI/Linux/arch-linux-fallback.efi\"\nfallback_options=\"-S autodetect\"\n",
    );
    let fallback = unified(
        RELEASE,
        "root=UUID=1 ro quiet",
        &cpio(&[("init", Some(b"stock"))]),
    );
    host.file("/boot/efi/EFI/Linux/arch-linux-fallback.efi", fallback);
}

fn arch_booster(host: &Host) {
    os(host, "arch");
    grub(host, "/boot/grub", false);
    kernel(host, RELEASE);
    host.file(&format!("/usr/lib/modules/{RELEASE}/pkgbase"), "linux\n")
        .file("/boot/vmlinuz-linux", "kernel")
        .executable("/usr/bin/booster", "")
        .file("/etc/booster.yaml", "compression: zstd\n");
    image(host, "/boot/booster-linux.img");
}

/// Kernel and image are named by series and architecture; the package is another name.
fn manjaro(host: &Host) {
    os(host, "manjaro");
    grub(host, "/boot/grub", false);
    mkinitcpio(
        host,
        "base udev autodetect modconf block filesystems",
        "PRESETS=('default')\ndefault_image=\"/boot/initramfs-6.12-x86_64.img\"\n",
    );
    let preset = host.path().join("etc/mkinitcpio.d");
    let text = std::fs::read_to_string(preset.join("linux.preset")).expect("a preset");
    std::fs::remove_file(preset.join("linux.preset")).expect("a preset");
    std::fs::remove_file(host.path().join("boot/vmlinuz-linux")).expect("a kernel");
    let modules = format!("/usr/lib/modules/{RELEASE}");
    host.file(
        "/etc/mkinitcpio.d/linux612.preset",
        text.replace("vmlinuz-linux", "vmlinuz-6.12-x86_64"),
    )
    .file(&format!("{modules}/pkgbase"), "linux612\n")
    .file(&format!("{modules}/kernelbase"), "6.12-x86_64\n")
    .file("/boot/vmlinuz-6.12-x86_64", "kernel");
    image(host, "/boot/initramfs-6.12-x86_64.img");
}

/// An entry as EndeavourOS's kernel-install writes it; `end` is empty, or names the fallback.
pub(crate) fn endeavour_entry(release: &str, words: &str, end: &str) -> String {
    format!(
        "title EndeavourOS\nversion {release}{end}\nmachine-id 0123\noptions {words}\nlinux /0123/{release}/linux\ninitrd /0123/{release}/initrd{end}\n"
    )
}

/// Kernels and images are on the EFI system partition only, made there by kernel-install.
fn endeavouros(host: &Host) {
    os(host, "endeavouros");
    systemd_boot(host);
    std::fs::remove_dir_all(host.path().join("boot")).expect("no /boot/efi");
    host.executable("/usr/bin/dracut", "#!/bin/bash\n")
        .directory("/boot")
        .file("/efi/loader/loader.conf", "timeout 3\n")
        .file("/etc/kernel/cmdline", "root=UUID=1 rw quiet\n")
        .file(
            "/proc/self/mountinfo",
            "36 1 254:2 / / rw - ext4 /dev/vda2 rw\n37 36 254:1 / /efi rw - vfat /dev/vda1 rw\n",
        );
    boots(host, "initrd=\\x root=UUID=1 rw quiet");
    for release in [OLDER, RELEASE] {
        kernel(host, release);
        host.file(&format!("/usr/lib/modules/{release}/vmlinuz"), "kernel")
            .file(&format!("/efi/0123/{release}/linux"), "kernel");
        for end in ["", "-fallback"] {
            image(host, &format!("/efi/0123/{release}/initrd{end}"));
            host.file(
                &format!("/efi/loader/entries/0123-{release}{end}.conf"),
                endeavour_entry(release, "root=UUID=1 rw quiet", end),
            );
        }
    }
}

fn fedora(host: &Host) {
    os(host, "fedora");
    host.file(
        "/etc/default/grub",
        "GRUB_CMDLINE_LINUX=\"rhgb quiet\"\nGRUB_ENABLE_BLSCFG=true\n",
    )
    .file("/boot/grub2/grub.cfg", "blscfg\n")
    .executable("/usr/sbin/grub2-mkconfig", "#!/bin/sh\n")
    .file("/etc/kernel/cmdline", "root=UUID=1 ro rhgb quiet\n")
    .file(
        &format!("/boot/loader/entries/token-{RELEASE}.conf"),
        format!("title Fedora Linux\nversion {RELEASE}\nlinux /vmlinuz-{RELEASE}\ninitrd /initramfs-{RELEASE}.img $tuned_initrd\noptions root=UUID=1 ro rhgb quiet $tuned_params\ngrub_users $grub_users\n"),
    )
    .file(
        "/proc/self/mountinfo",
        "36 1 254:2 / / rw - ext4 /dev/vda2 rw\n37 36 254:1 / /boot rw - ext4 /dev/vda1 rw\n",
    );
    dracut(host, "initramfs-", ".img");
    grubenv(host, "/boot/grub2");
    boots(
        host,
        "BOOT_IMAGE=(hd0,gpt2)/vmlinuz root=UUID=1 ro rhgb quiet",
    );
}

fn dracut_unified(host: &Host) {
    os(host, "fedora");
    unified_host(
        host,
        &format!("/boot/efi/EFI/Linux/linux-{RELEASE}-token.efi"),
    );
    kernel(host, RELEASE);
    host.executable("/usr/bin/dracut", "#!/bin/bash\n")
        .file(&format!("/boot/vmlinuz-{RELEASE}"), "kernel")
        .file(
            "/etc/dracut.conf.d/uki.conf",
            "uefi=\"yes\"\nkernel_cmdline=\"root=UUID=1 ro quiet\"\n",
        );
}

fn opensuse(host: &Host) {
    os(host, "opensuse-tumbleweed");
    grub(host, "/boot/grub2", false);
    // Its root is btrfs, where GRUB cannot clear a one-shot.
    host.file(
        "/proc/self/mountinfo",
        "36 1 254:2 / / rw - btrfs /dev/vda2 rw\n",
    );
    dracut(host, "initrd-", "");
}

/// An entry as kernelstub writes it.
pub(crate) fn pop_entry(options: &str) -> String {
    format!(
        "title Pop!_OS\nlinux /EFI/Pop_OS-1/vmlinuz.efi\ninitrd /EFI/Pop_OS-1/initrd.img\noptions {options}\n"
    )
}

fn pop(host: &Host) {
    os(host, "pop");
    systemd_boot(host);
    initramfs_tools(host, &[RELEASE]);
    image(host, "/boot/efi/EFI/Pop_OS-1/initrd.img");
    host.executable("/etc/initramfs/post-update.d/zz-kernelstub", "#!/bin/sh\n")
        .file("/boot/efi/EFI/Pop_OS-1/vmlinuz.efi", "kernel")
        .file("/boot/efi/loader/loader.conf", "default Pop_OS-current\n")
        .file(
            "/boot/efi/loader/entries/Pop_OS-current.conf",
            pop_entry("root=UUID=1 ro quiet splash"),
        )
        .file(
            "/etc/kernelstub/configuration",
            "{\n  \"user\": {\n    \"kernel_options\": [\n      \"quiet\",\n      \"splash\"\n    ]\n  }\n}",
        );
    boots(host, "initrd=\\x root=UUID=1 ro quiet splash");
}

fn silverblue(host: &Host) {
    os(host, "fedora");
    let deployment = "/ostree/boot.1/fedora/0a/0";
    let mut options = String::from("root=UUID=1 rw rhgb quiet ");
    let _ = write!(options, "ostree={deployment}");
    kernel(host, RELEASE);
    host.file("/run/ostree-booted", "")
        .executable("/usr/bin/rpm-ostree", "")
        .directory("/ostree/deploy/fedora/deploy/0a.0")
        .link(deployment, "../../../deploy/fedora/deploy/0a.0")
        .file("/ostree/deploy/fedora/deploy/0a.0.origin", ORIGIN)
        .file(
            "/boot/loader/entries/ostree-1.conf",
            format!("title Fedora Linux\nversion 1\noptions {options}\nlinux /ostree/fedora-0a/vmlinuz\ninitrd /ostree/fedora-0a/initramfs.img\n"),
        );
    boots(host, &format!("BOOT_IMAGE=x {options}"));
}

fn proxmox(host: &Host) {
    os(host, "debian");
    firmware(host, "LoaderInfo", "systemd-boot 257.13");
    initramfs_tools(host, &[RELEASE]);
    host.file("/etc/kernel/proxmox-boot-uuids", "1234-ABCD\n")
        .file(
            "/etc/kernel/cmdline",
            "root=ZFS=rpool/ROOT/pve-1 boot=zfs\n",
        );
    boots(host, "initrd=\\x root=ZFS=rpool/ROOT/pve-1 boot=zfs");
}

fn proxmox_grub(host: &Host) {
    debian(host);
    host.file("/etc/kernel/proxmox-boot-uuids", "1234-ABCD\n");
}
