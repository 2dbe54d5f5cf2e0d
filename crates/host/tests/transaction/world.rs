//! A host in a temporary directory, with tools that behave like the real ones as far as the engine
//! can see: they read the configuration, write their outputs in place, never the same bytes twice,
//! and leave things beside them.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use passthru_host::{
    exec::{End, Exec, ExecError, Output, Sign, Watch},
    failpoint::Points,
    observe::ImageContent,
    root::Root,
    transaction::{self, Applied, Failure, Inspect, Options, Silent, Undone},
};
use passthru_plan::{Change, Expect, Intent, Measured, Plan};

pub(crate) const GRUB: &str = "/etc/default/grub";
pub(crate) const GRUB_TEXT: &str =
    "# mine\nGRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX=\"quiet\"\nGRUB_TIMEOUT=5\n";
pub(crate) const GRUB_AFTER: &str =
    "# mine\nGRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX=\"quiet iommu=pt\"\nGRUB_TIMEOUT=5\n";
pub(crate) const RULES: &str = "/etc/modprobe.d/passthru.conf";
pub(crate) const DEEP: &str = "/etc/initramfs-tools/scripts/init-top/passthru";
pub(crate) const CONFIG: &str = "/boot/grub/grub.cfg";
pub(crate) const STAGED: &str = "/boot/grub/grub.cfg.passthru";
pub(crate) const DEAD: &str = "/etc/modprobe.d/vfio_virqfd.conf";

/// Where the made-up boot loader keeps what it starts once.
pub(crate) const ONCE: &str = "/boot/once";

/// A host.
pub(crate) struct World {
    _dir: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) root: Root,
    pub(crate) tools: Tools,
}

/// A temporary directory where fsync costs nothing, if there is one.
pub(crate) fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

impl World {
    /// A host with two kernels, made by hand as far as its files are old.
    pub(crate) fn new() -> Self {
        let dir = temporary();
        let path = dir.path().join("host");
        Self::at(dir, path)
    }

    pub(crate) fn at(dir: tempfile::TempDir, path: PathBuf) -> Self {
        fs::create_dir_all(&path).unwrap();
        let world = Self::open(dir, path);
        world.write(GRUB, GRUB_TEXT);
        fs::set_permissions(world.real(GRUB), fs::Permissions::from_mode(0o640)).unwrap();
        world.write(DEAD, "vfio_virqfd\n");
        world.write("/etc/initramfs-tools/initramfs.conf", "MODULES=most\n");
        for kernel in ["1", "2"] {
            world.write(&format!("/boot/vmlinuz-{kernel}"), "kernel");
        }
        world.write("/var/lib/dpkg/status", "Package: linux\n");
        world.write("/var/lib/dpkg/lock", "");
        world.write("/var/lib/dpkg/lock-frontend", "");
        world.tools.update_initramfs();
        world.tools.grub_mkconfig(CONFIG);
        world.age();
        world
    }

    /// The host that lies at `path` already.
    pub(crate) fn open(dir: tempfile::TempDir, path: PathBuf) -> Self {
        Self {
            root: Root::open(&path).unwrap(),
            tools: Tools {
                root: path.clone(),
                fault: Cell::new(Fault::None),
                runs: RefCell::default(),
                generation: Cell::new(0),
            },
            path,
            _dir: dir,
        }
    }

    /// Gives every file a time long past, so that a changed time is seen.
    fn age(&self) {
        let old = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
        walk(&self.path, &mut |path, meta| {
            if meta.is_file() {
                let file = fs::File::options().read(true).open(path).unwrap();
                file.set_modified(old).unwrap();
            }
        });
    }

    pub(crate) fn real(&self, path: &str) -> PathBuf {
        self.path.join(path.trim_start_matches('/'))
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.real(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.real(path)).unwrap()
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        fs::symlink_metadata(self.real(path)).is_ok()
    }

    pub(crate) fn apply(&self, plan: &Plan) -> Result<Applied, Failure> {
        self.apply_with(plan, "")
    }

    pub(crate) fn apply_with(&self, plan: &Plan, failpoints: &str) -> Result<Applied, Failure> {
        let options = options(failpoints);
        transaction::apply(&self.root, &self.tools, plan, &options, &mut Silent)
    }

    pub(crate) fn undo(&self, number: Option<u32>) -> Result<Undone, Failure> {
        self.undo_with(number, "")
    }

    pub(crate) fn undo_with(
        &self,
        number: Option<u32>,
        failpoints: &str,
    ) -> Result<Undone, Failure> {
        let options = options(failpoints);
        transaction::undo(&self.root, &self.tools, number, &options, &mut Silent)
    }

    pub(crate) fn recover(&self) -> Result<Option<transaction::Recovered>, Failure> {
        self.recover_with("")
    }

    pub(crate) fn recover_with(
        &self,
        failpoints: &str,
    ) -> Result<Option<transaction::Recovered>, Failure> {
        let options = options(failpoints);
        transaction::recover(&self.root, &self.tools, &options, &mut Silent)
    }

    /// Everything but passthru's own state.
    pub(crate) fn tree(&self) -> Tree {
        Tree::of(&self.path)
    }

    pub(crate) fn states(&self) -> Vec<transaction::State> {
        let records = transaction::history(&self.root).unwrap();
        records.iter().map(|record| record.state).collect()
    }
}

pub(crate) fn options(failpoints: &str) -> Options<'static> {
    Options {
        deadline: Duration::from_secs(60),
        grace: Duration::from_millis(100),
        failpoints: Points::parse(failpoints),
        inspect: &Reader,
        ..Options::default()
    }
}

/// The plan that most tests carry out: every kind of step.
pub(crate) fn plan() -> Plan {
    of(vec![
        edit(DEAD, Some("vfio_virqfd\n"), None),
        edit(GRUB, Some(GRUB_TEXT), Some(GRUB_AFTER)),
        edit(RULES, None, Some("softdep snd_hda_intel pre: vfio-pci\n")),
        edit(DEEP, None, Some("#!/bin/sh\n")),
        initramfs(),
        grub(),
    ])
}

pub(crate) fn of(changes: Vec<Change>) -> Plan {
    Plan {
        intent: Intent::default(),
        refusals: vec![],
        notices: vec![],
        bindings: vec![],
        words: vec!["iommu=pt".into()],
        changes,
        reboot: true,
        trial: None,
        continues: None,
        way_back: None,
        guest: None,
        outcome: vec![],
    }
}

pub(crate) fn edit(path: &str, before: Option<&str>, after: Option<&str>) -> Change {
    Change::Edit {
        path: path.into(),
        before: before.map(Into::into),
        after: after.map(Into::into),
        mode: 0o755,
        why: "test".into(),
    }
}

pub(crate) fn initramfs() -> Change {
    let image = |kernel: &str| format!("/boot/initrd.img-{kernel}");
    Change::Run {
        argv: ["update-initramfs", "-u", "-k", "all"]
            .map(Into::into)
            .to_vec(),
        undo: None,
        outputs: ["1", "2"]
            .map(|kernel| passthru_plan::Output {
                path: image(kernel),
                staged: None,
            })
            .to_vec(),
        family: Some("/boot/initrd.img-*".into()),
        anew: None,
        once: false,
        expect: ["1", "2"].map(expected).to_vec(),
        why: "test".into(),
    }
}

fn expected(kernel: &str) -> Expect {
    Expect::Image {
        path: format!("/boot/initrd.img-{kernel}"),
        entries: vec!["missing|scripts/init-top/passthru".into()],
        texts: vec![(
            "etc/modprobe.d/passthru.conf".into(),
            "softdep snd_hda_intel pre: vfio-pci\n".into(),
        )],
    }
}

/// The same plan with a generator that writes over its output: every image is made beside the one in use.
pub(crate) fn plan_beside() -> Plan {
    let beside = |kernel: &str| {
        let path = format!("/boot/initrd.img-{kernel}");
        let staged = format!("{path}.passthru");
        let argv = |staged: &str, kernel: &str| {
            ["dracut", "--force", staged, kernel]
                .map(Into::into)
                .to_vec()
        };
        Change::Run {
            argv: argv(&staged, kernel),
            undo: None,
            outputs: vec![passthru_plan::Output {
                path,
                staged: Some(staged),
            }],
            family: Some("/boot/initrd.img-*".into()),
            anew: Some(passthru_plan::Anew {
                argv: argv("/boot/initrd.img-{}.passthru", "{}"),
                staged: "/boot/initrd.img-{}.passthru".into(),
            }),
            once: false,
            expect: vec![expected(kernel)],
            why: "test".into(),
        }
    };
    let changes = plan().changes.into_iter();
    of(changes
        .flat_map(|change| {
            if change == initramfs() {
                ["1", "2"].map(beside).to_vec()
            } else {
                vec![change]
            }
        })
        .collect())
}

/// What the boot loader starts once; another command takes that back.
pub(crate) fn once(entry: &str) -> Change {
    Change::Run {
        argv: vec!["choose-once".into(), entry.into()],
        undo: Some(vec!["choose-once".into()]),
        outputs: vec![],
        family: None,
        anew: None,
        once: false,
        expect: vec![],
        why: "test".into(),
    }
}

/// A command whose result nobody looks into.
pub(crate) fn without_checks(change: Change) -> Change {
    match change {
        Change::Run {
            argv,
            undo,
            outputs,
            family,
            anew,
            once,
            why,
            ..
        } => Change::Run {
            argv,
            undo,
            outputs,
            family,
            anew,
            once,
            expect: vec![],
            why,
        },
        other => other,
    }
}

pub(crate) fn grub() -> Change {
    Change::Run {
        argv: ["grub-mkconfig", "-o", STAGED].map(Into::into).to_vec(),
        undo: None,
        outputs: vec![passthru_plan::Output {
            path: CONFIG.into(),
            staged: Some(STAGED.into()),
        }],
        family: None,
        anew: None,
        once: false,
        expect: vec![Expect::GrubWords {
            path: CONFIG.into(),
            words: vec!["iommu=pt".into()],
            absent: Vec::new(),
        }],
        why: "test".into(),
    }
}

/// How the tools misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// grub-mkconfig writes half of its output and fails.
    Fail,
    /// grub-mkconfig writes nothing and says all is well.
    Lie,
    /// update-initramfs forgets the configuration and says all is well.
    Forget,
    /// grub-mkconfig hangs until it is ended.
    Hang,
    /// grub-mkconfig fills the disk and fails.
    Fill,
    /// update-initramfs deletes an image and fails; dracut writes half of one and fails.
    Delete,
    /// update-initramfs replaces the user's edited file and says all is well.
    Meddle,
}

/// The tools of the host.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) root: PathBuf,
    pub(crate) fault: Cell<Fault>,
    /// What was run.
    pub(crate) runs: RefCell<Vec<String>>,
    /// Goes into every output: no two runs give the same bytes.
    generation: Cell<u32>,
}

impl Tools {
    fn real(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn next(&self) -> u32 {
        self.generation.set(self.generation.get() + 1);
        self.generation.get()
    }

    fn kernels(&self) -> Vec<String> {
        let mut kernels: Vec<String> = fs::read_dir(self.real("/boot"))
            .unwrap()
            .filter_map(|e| {
                Some(
                    e.unwrap()
                        .file_name()
                        .to_str()?
                        .strip_prefix("vmlinuz-")?
                        .into(),
                )
            })
            .collect();
        kernels.sort();
        kernels
    }

    /// What an image has inside, with the files that make a difference.
    fn image(&self) -> String {
        let mut texts = BTreeMap::new();
        for (inside, path) in [
            ("etc/modprobe.d/passthru.conf", RULES),
            ("scripts/init-top/passthru", DEEP),
        ] {
            if let Ok(text) = fs::read_to_string(self.real(path))
                && self.fault.get() != Fault::Forget
            {
                texts.insert(inside, text);
            }
        }
        serde_json::json!({"generation": self.next(), "texts": texts}).to_string()
    }

    /// An image for every kernel, and the old one beside it.
    pub(crate) fn update_initramfs(&self) {
        for kernel in self.kernels() {
            let path = self.real(&format!("/boot/initrd.img-{kernel}"));
            let new = PathBuf::from(format!("{}.new", path.display()));
            fs::write(&new, self.image()).unwrap();
            if path.exists() {
                let backup = PathBuf::from(format!("{}.bak", path.display()));
                let _ = fs::remove_file(&backup);
                fs::hard_link(&path, backup).unwrap();
            }
            fs::rename(new, path).unwrap();
        }
    }

    /// A menu with one entry for each kernel and the words of the default file.
    pub(crate) fn grub_mkconfig(&self, path: &str) {
        let defaults = fs::read_to_string(self.real(GRUB)).unwrap();
        let words = defaults
            .lines()
            .find_map(|line| line.strip_prefix("GRUB_CMDLINE_LINUX="))
            .unwrap_or_default()
            .trim_matches('"');
        let mut text = format!("# {}\n", self.next());
        for kernel in self.kernels() {
            text.push_str(&format!(
                "menuentry 'Linux {kernel}' $menuentry_id_option 'gnulinux-{kernel}' {{\n\
                 \tlinux /boot/vmlinuz-{kernel} root=/dev/sda {words}\n\
                 \tinitrd /boot/initrd.img-{kernel}\n}}\n"
            ));
        }
        text.push_str(
            "menuentry 'Linux without passthru' $menuentry_id_option 'without' {\n\
             \tlinux /boot/vmlinuz root=/dev/sda\n}\n",
        );
        let path = self.real(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o444)
            .open(path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn fail(&self) -> Output {
        Output {
            status: Some(1),
            text: "E: it did not work\n".into(),
        }
    }

    fn fill(&self) {
        let mut file = fs::File::create(self.real("/filler")).unwrap();
        let mut size = 64 << 10;
        while size > 0 {
            match file.write_all(&vec![b'x'; size]) {
                Ok(()) => {}
                Err(_) => size /= 2,
            }
        }
    }
}

impl Exec for Tools {
    fn run(&self, argv: &[&str]) -> Result<Output, ExecError> {
        let watch = Watch {
            deadline: Duration::from_secs(60),
            grace: Duration::from_secs(1),
            cancel: None,
        };
        self.watch(argv, &watch, &mut |_| {})
            .map(|(output, _)| output)
    }

    fn watch(
        &self,
        argv: &[&str],
        watch: &Watch<'_>,
        listener: &mut dyn FnMut(Sign<'_>),
    ) -> Result<(Output, End), ExecError> {
        // A process that is surely gone.
        listener(Sign::Started(u32::MAX / 2));
        self.runs.borrow_mut().push(argv[0].to_owned());
        // As for a real command: whoever passes a flag that is set ends it at once.
        let ends = |cancel: &std::sync::atomic::AtomicBool| {
            cancel.load(std::sync::atomic::Ordering::Relaxed)
        };
        if watch.cancel.is_some_and(ends) {
            return Ok((self.fail(), End::Cancelled));
        }
        let fault = self.fault.get();
        match (argv, fault) {
            // What a boot loader will start once, which is no file of the transaction.
            (["choose-once", name], _) => fs::write(self.real(ONCE), name).unwrap(),
            (["choose-once"], _) => drop(fs::remove_file(self.real(ONCE))),
            (["update-initramfs", ..], Fault::Delete) => {
                fs::remove_file(self.real("/boot/initrd.img-2")).unwrap();
                return Ok((self.fail(), End::Itself));
            }
            (["update-initramfs", ..], _) => {
                self.update_initramfs();
                if fault == Fault::Meddle {
                    fs::write(self.real(GRUB), "meddled\n").unwrap();
                }
            }
            (["dracut", "--force", path, "2"], Fault::Delete) => {
                fs::write(self.real(path), "half").unwrap();
                return Ok((self.fail(), End::Itself));
            }
            (["dracut", "--force", path, _], _) => {
                // As it does: over what is there.
                fs::write(self.real(path), self.image()).unwrap();
            }
            (["grub-mkconfig", "-o", path], Fault::Fail) => {
                fs::write(self.real(path), "half").unwrap();
                fs::write(self.real(&format!("{path}.new")), "half").unwrap();
                return Ok((self.fail(), End::Itself));
            }
            (["grub-mkconfig", ..], Fault::Lie) => {}
            (["grub-mkconfig", ..], Fault::Fill) => {
                self.fill();
                return Ok((self.fail(), End::Itself));
            }
            (["grub-mkconfig", "-o", path], Fault::Hang) => {
                fs::write(self.real(path), "half").unwrap();
                listener(Sign::Alive(watch.deadline));
                let end = match watch.cancel {
                    Some(cancel) => {
                        cancel.store(true, std::sync::atomic::Ordering::Relaxed);
                        End::Cancelled
                    }
                    None => End::Deadline,
                };
                let output = Output {
                    status: None,
                    text: String::new(),
                };
                return Ok((output, end));
            }
            (["grub-mkconfig", "-o", path], _) => self.grub_mkconfig(path),
            (
                [
                    "virsh",
                    "--quiet",
                    "--connect",
                    "qemu:///system",
                    arguments @ ..,
                ],
                _,
            ) => {
                return Ok((crate::guest::virsh(&self.root, arguments), End::Itself));
            }
            (["qemu-img", "create", path], _) => fs::write(self.real(path), "disk").unwrap(),
            (["qemu-img", "resize", path], Fault::Fail) => {
                fs::write(self.real(path), "half").unwrap();
                return Ok((self.fail(), End::Itself));
            }
            (["qemu-img", "resize", path], _) => fs::write(self.real(path), "large disk").unwrap(),
            _ => {
                return Err(ExecError {
                    program: argv[0].into(),
                    source: std::io::ErrorKind::NotFound.into(),
                });
            }
        }
        listener(Sign::Said("done\n"));
        let output = Output {
            status: Some(0),
            text: "done\n".into(),
        };
        Ok((output, End::Itself))
    }
}

/// Reads the images that [`Tools`] make.
#[derive(Debug)]
pub(crate) struct Reader;

impl Inspect for Reader {
    fn image(&self, root: &Root, path: &str, _keep: &[&str]) -> Measured<ImageContent> {
        let read = || -> Option<ImageContent> {
            let image: serde_json::Value = serde_json::from_str(&root.text(path).ok()?).ok()?;
            let texts: BTreeMap<String, String> =
                serde_json::from_value(image["texts"].clone()).ok()?;
            Some(ImageContent {
                entries: texts.keys().cloned().collect(),
                texts,
            })
        };
        read().map_or_else(|| Measured::not("damaged"), Measured::Value)
    }
}

/// Everything that makes a tree the same tree.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Tree(pub(crate) BTreeMap<String, Node>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) mode: u32,
    owner: (u32, u32),
    /// Of files; a directory's changes with what is made in it.
    mtime: Option<(i64, i64)>,
    pub(crate) content: Content,
    xattrs: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Content {
    File(Vec<u8>),
    Link(PathBuf),
    Directory,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
            Self::Link(target) => write!(f, "-> {}", target.display()),
            Self::Directory => f.write_str("/"),
        }
    }
}

impl Tree {
    pub(crate) fn of(root: &Path) -> Self {
        let mut nodes = BTreeMap::new();
        walk(root, &mut |path, meta| {
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            let content = if meta.is_dir() {
                Content::Directory
            } else if meta.is_symlink() {
                Content::Link(fs::read_link(path).unwrap())
            } else {
                Content::File(fs::read(path).unwrap())
            };
            let node = Node {
                mode: meta.mode(),
                owner: (meta.uid(), meta.gid()),
                mtime: meta.is_file().then(|| (meta.mtime(), meta.mtime_nsec())),
                xattrs: if meta.is_file() {
                    xattrs(path)
                } else {
                    Vec::new()
                },
                content,
            };
            nodes.insert(name, node);
        });
        Self(nodes)
    }

    /// Without times and without what tools leave beside their outputs.
    pub(crate) fn content(&self) -> BTreeMap<String, (u32, Content)> {
        self.0
            .iter()
            .filter(|(name, _)| !name.ends_with(".bak"))
            .map(|(name, node)| (name.clone(), (node.mode, node.content.clone())))
            .collect()
    }

    /// Says where two trees differ.
    #[track_caller]
    pub(crate) fn assert_is(&self, expected: &Self, what: &str) {
        let mut differences = Vec::new();
        for name in self.0.keys().chain(expected.0.keys()) {
            let (now, then) = (self.0.get(name), expected.0.get(name));
            if now != then {
                differences.push(format!("{name}:\n  is   {now:?}\n  not  {then:?}"));
            }
        }
        differences.dedup();
        assert!(differences.is_empty(), "{what}\n{}", differences.join("\n"));
    }
}

fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0; 4096];
    let Ok(length) = rustix::fs::lgetxattr(path, "user.test", names.as_mut_slice()) else {
        return Vec::new();
    };
    vec![("user.test".into(), names[..length].to_vec())]
}

fn walk(path: &Path, visit: &mut dyn FnMut(&Path, &fs::Metadata)) {
    let mut names: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    for path in names {
        if path.ends_with("var/lib/passthru") {
            continue;
        }
        let meta = fs::symlink_metadata(&path).unwrap();
        visit(&path, &meta);
        if meta.is_dir() {
            walk(&path, visit);
        }
    }
}
