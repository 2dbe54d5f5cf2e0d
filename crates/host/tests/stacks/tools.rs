//! The tools of a made-up host: `tools.sh` says what goes where, and images are packed here.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use passthru_host::exec::{Exec, ExecError, Output};
use passthru_plan::text::bls;

use crate::{observe_builder::cpio, trees};

/// Runs argument vectors of plans against a tree.
pub(crate) struct Tools {
    pub(crate) root: PathBuf,
}

impl Exec for Tools {
    fn run(&self, argv: &[&str]) -> Result<Output, ExecError> {
        match argv {
            ["update-initramfs", "-u", "-k", "all"] => {
                let dracut = self.has("/usr/bin/dracut");
                self.each_release(|release| {
                    let maker = if dracut { "dracut" } else { "initramfs_tools" };
                    let image = self.image(release, &[maker]);
                    self.write(&format!("/boot/initrd.img-{release}"), &image);
                    if self.has("/etc/initramfs/post-update.d/systemd-boot") {
                        self.kernel_install(release);
                    }
                    if self.has("/etc/initramfs/post-update.d/zz-kernelstub") {
                        self.kernelstub("");
                    }
                });
            }
            ["dracut", "--force", path, release] => {
                self.write(path, &self.image(release, &["dracut"]));
            }
            ["dracut", "--force", "--regenerate-all"] => self.each_release(|release| {
                let image = self.image(release, &["dracut"]);
                let unified = format!("/boot/efi/EFI/Linux/linux-{release}-token.efi");
                if self.has(&unified) {
                    let room = self.script(release, &["dracut_cmdline"]);
                    let words = fs::read_to_string(room.path().join("image.cmdline"));
                    let words = words.expect("a command line");
                    self.write(&unified, &trees::unified(release, words.trim(), &image));
                    return;
                }
                let path = ["/boot/initrd-", "/boot/initramfs-"]
                    .map(|start| format!("{start}{release}"))
                    .into_iter()
                    .flat_map(|path| [path.clone(), format!("{path}.img")])
                    .find(|path| self.has(path));
                self.write(&path.expect("an image"), &image);
            }),
            ["mkinitcpio", "-P"] => self.presets(),
            ["/usr/lib/booster/regenerate_images"] => {
                let image = self.image(trees::RELEASE, &["booster"]);
                self.write("/boot/booster-linux.img", &image);
            }
            ["grub-mkconfig" | "grub2-mkconfig", "-o", path] => {
                self.script("", &["grub_mkconfig", path]);
            }
            ["kernel-install", "add", release, ..] => self.kernel_install(release),
            ["kernelstub", "--add-options", words] => self.kernelstub(words),
            ["rpm-ostree", "kargs", words @ ..] => self.kargs(words),
            ["rpm-ostree", "initramfs", words @ ..] => self.ostree_initramfs(words),
            ["proxmox-boot-tool", "refresh"]
            | ["bootctl", "set-oneshot", _]
            | ["grub-reboot" | "grub2-reboot", ..]
            | ["grub-editenv" | "grub2-editenv", ..]
            | ["systemctl", ..] => {}
            _ => {
                return Err(ExecError {
                    program: argv[0].into(),
                    source: io::ErrorKind::NotFound.into(),
                });
            }
        }
        Ok(Output {
            status: Some(0),
            text: String::new(),
        })
    }
}

impl Tools {
    fn real(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn has(&self, path: &str) -> bool {
        self.real(path).exists()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.real(path)).unwrap_or_default()
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        fs::write(self.real(path), bytes).expect(path);
    }

    fn each_release(&self, mut act: impl FnMut(&str)) {
        for entry in fs::read_dir(self.real("/usr/lib/modules")).expect("kernels") {
            act(entry
                .expect("a kernel")
                .file_name()
                .to_str()
                .expect("UTF-8"));
        }
    }

    fn script(&self, release: &str, words: &[&str]) -> tempfile::TempDir {
        let room = tempfile::tempdir().expect("a room");
        let output = Command::new("bash")
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/stacks/tools.sh"
            ))
            .args(words)
            .env("ROOT", &self.root)
            .env("STAGE", room.path().join("image"))
            .env("RELEASE", release)
            .output()
            .expect("bash");
        assert!(
            output.status.success(),
            "{words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        room
    }

    /// An initramfs: a cpio archive of what the script put together.
    fn image(&self, release: &str, words: &[&str]) -> Vec<u8> {
        let room = self.script(release, words);
        let mut files = Vec::new();
        let stage = room.path().join("image");
        gather(&stage, &stage, &mut files);
        // No two runs of a generator make the same bytes.
        let stamp = format!("{:?}", std::time::SystemTime::now());
        files.push(("stamp".into(), stamp.into_bytes()));
        files.sort();
        let entries: Vec<_> = files
            .iter()
            .map(|(name, bytes)| (name.as_str(), Some(bytes.as_slice())))
            .collect();
        cpio(&entries)
    }

    /// The words that kernel-install gives an entry, and where they come from.
    fn words(&self) -> String {
        let text = self.read("/etc/kernel/cmdline");
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ")
    }

    fn kernel_install(&self, release: &str) {
        if self.has("/efi/0123") {
            // dracut's plugin makes the image, and one more for the fallback.
            for end in ["", "-fallback"] {
                let image = self.image(release, &["dracut"]);
                self.write(&format!("/efi/0123/{release}/initrd{end}"), &image);
                self.write(
                    &format!("/efi/loader/entries/0123-{release}{end}.conf"),
                    trees::endeavour_entry(release, &self.words(), end).as_bytes(),
                );
            }
            self.write(&format!("/efi/0123/{release}/linux"), b"kernel");
            return;
        }
        let initrd = fs::read(self.real(&format!("/boot/initrd.img-{release}"))).expect("an image");
        if self.read("/etc/kernel/install.conf").contains("layout=uki") {
            let path = format!("/boot/efi/EFI/Linux/token-{release}.efi");
            self.write(&path, &trees::unified(release, &self.words(), &initrd));
            return;
        }
        self.write(&format!("/boot/efi/token/{release}/linux"), b"kernel");
        self.write(
            &format!("/boot/efi/token/{release}/initrd.img-{release}"),
            &initrd,
        );
        self.write(
            &format!("/boot/efi/loader/entries/token-{release}.conf"),
            trees::entry(release, &self.words()).as_bytes(),
        );
    }

    /// Every preset; a unified image takes its words from /etc/cmdline.d, else /etc/kernel/cmdline.
    fn presets(&self) {
        let presets = fs::read_dir(self.real("/etc/mkinitcpio.d")).expect("presets");
        let preset = presets.last().expect("a preset").expect("a preset").path();
        let text = fs::read_to_string(preset).expect("a preset");
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.map(|value| value.trim_matches(['=', '"']).to_owned())
        };
        let config = value("ALL_config").unwrap_or_default();
        let image = self.image(trees::RELEASE, &["mkinitcpio", &config]);
        for key in ["default_image", "fallback_image"] {
            if let Some(path) = value(key) {
                self.write(&path, &image);
            }
        }
        for key in ["default_uki", "fallback_uki"] {
            if let Some(path) = value(key) {
                self.write(
                    &path,
                    &trees::unified(trees::RELEASE, &self.words(), &image),
                );
            }
        }
    }

    fn kernelstub(&self, words: &str) {
        const CONFIG: &str = "/etc/kernelstub/configuration";
        let mut config: serde_json::Value =
            serde_json::from_str(&self.read(CONFIG)).expect("the configuration");
        let list = config["user"]["kernel_options"]
            .as_array_mut()
            .expect("a list");
        for word in words.split_whitespace() {
            if !list.iter().any(|known| known == word) {
                list.push(word.into());
            }
        }
        let all: Vec<String> = list
            .iter()
            .map(|w| w.as_str().expect("a word").into())
            .collect();
        let text = serde_json::to_string_pretty(&config).expect("JSON");
        self.write(CONFIG, text.as_bytes());
        let initrd =
            fs::read(self.real(&format!("/boot/initrd.img-{}", trees::RELEASE))).expect("an image");
        self.write("/boot/efi/EFI/Pop_OS-1/initrd.img", &initrd);
        self.write("/boot/efi/EFI/Pop_OS-1/vmlinuz.efi", b"kernel");
        let options = format!("root=UUID=1 ro {}", all.join(" "));
        self.write(
            "/boot/efi/loader/entries/Pop_OS-current.conf",
            trees::pop_entry(&options).as_bytes(),
        );
    }

    /// A new deployment: its entry is the first of the menu.
    fn kargs(&self, words: &[&str]) {
        const ENTRY: &str = "/boot/loader/entries/ostree-1.conf";
        let text = self.read(ENTRY);
        let mut options: Vec<String> = bls::options(&text).split(' ').map(Into::into).collect();
        for word in words {
            if let Some(word) = word.strip_prefix("--append-if-missing=") {
                if !options.iter().any(|known| known == word) {
                    options.push(word.into());
                }
            } else if let Some(word) = word.strip_prefix("--delete-if-present=") {
                options.retain(|known| known != word);
            }
        }
        let before = bls::options(&text);
        self.write(ENTRY, text.replace(&before, &options.join(" ")).as_bytes());
    }

    fn ostree_initramfs(&self, words: &[&str]) {
        let origin = "/ostree/deploy/fedora/deploy/0a.0.origin";
        let arguments: Vec<&str> = words
            .iter()
            .filter_map(|word| word.strip_prefix("--arg="))
            .collect();
        let text = match words[0] {
            "--enable" => format!(
                "[origin]\nrefspec=fedora\n\n[rpmostree]\nregenerate-initramfs=true\ninitramfs-args={};\n",
                arguments.join(";")
            ),
            _ => trees::ORIGIN.into(),
        };
        // What goes into it is looked at by the test.
        let image = self.image(trees::RELEASE, &["dracut"]);
        let content = String::from_utf8_lossy(&image).into_owned();
        if words[0] == "--enable" {
            for name in ["etc/passthru/bind", "vfio-pci.ko", "passthru-bind.service"] {
                assert!(content.contains(name), "{name} is not in the image");
            }
        }
        self.write(origin, text.as_bytes());
    }
}

fn gather(top: &Path, at: &Path, files: &mut Vec<(String, Vec<u8>)>) {
    let Ok(entries) = fs::read_dir(at) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            gather(top, &path, files);
        } else {
            let name = path
                .strip_prefix(top)
                .expect("below")
                .to_str()
                .expect("UTF-8");
            files.push((name.into(), fs::read(&path).expect("a file")));
        }
    }
}
