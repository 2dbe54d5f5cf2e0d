//! What was seen through a recording root, as the tree it really is: every path is led through the
//! links on its way, and the links are entries of their own.

use std::collections::BTreeMap;

use crate::root::{Root, Seen};

/// More links than this on the way to a file are a loop (the kernel stops there, too).
const LINKS: usize = 40;
/// Links of procfs that lead to the reading process; what lies behind them is kept in their place.
const OF_PROCESS: [&str; 3] = ["proc/self", "proc/net", "proc/thread-self"];

/// An entry of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Directory,
    File { mode: u32, bytes: Vec<u8> },
    Link(String),
}

/// Entries by path without a leading slash; a directory comes before what is in it.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: BTreeMap<String, Node>,
    /// Paths that exist and could not be read, as they were asked for.
    pub(super) denied: Vec<String>,
}

impl Tree {
    pub(super) fn of(root: &Root, seen: &BTreeMap<String, Seen>) -> Self {
        let mut tree = Self::default();
        for (path, what) in seen {
            match what {
                Seen::File => tree.file(root, path, true),
                Seen::Presence => tree.file(root, path, false),
                Seen::Link(target) => {
                    if let Some((parent, name)) = tree.parent(root, path) {
                        tree.link(&join(&parent, name), target);
                    }
                }
                Seen::Directory => tree.directory(root, path),
                Seen::Denied => {
                    tree.file(root, path, false);
                    tree.denied.push(path.clone());
                }
            }
        }
        tree.add_parents();
        tree
    }

    /// Adds a file that the host does not have.
    pub(super) fn add(&mut self, path: &str, text: String) {
        if text.is_empty() {
            return;
        }
        let node = Node::File {
            mode: 0o644,
            bytes: text.into_bytes(),
        };
        self.nodes.insert(path.trim_matches('/').to_owned(), node);
        self.add_parents();
    }

    fn file(&mut self, root: &Root, path: &str, content: bool) {
        let Some(place) = self.place(root, path) else {
            return;
        };
        let Ok(meta) = root.meta(&place) else { return };
        if meta.is_dir() {
            self.nodes.entry(place).or_insert(Node::Directory);
            return;
        }
        let bytes = if content {
            root.read(&place).unwrap_or_default()
        } else {
            Vec::new()
        };
        let node = Node::File {
            mode: meta.mode & 0o777,
            bytes,
        };
        // The same file may be asked for by two ways, once for its presence only.
        match self.nodes.get(&place) {
            Some(Node::File { .. }) if !content => {}
            _ => {
                self.nodes.insert(place, node);
            }
        }
    }

    /// A listed directory: what is in it is a fact, even where nobody looked at it.
    fn directory(&mut self, root: &Root, path: &str) {
        let Some(place) = self.place(root, path) else {
            return;
        };
        for name in root.list(&place).unwrap_or_default() {
            let entry = join(&place, &name);
            if self.nodes.contains_key(&entry) {
                continue;
            }
            let Ok(meta) = root.meta(&entry) else {
                continue;
            };
            if meta.is_link() {
                if let Ok(target) = root.link(&entry) {
                    self.link(&entry, &target);
                }
            } else if meta.is_dir() {
                self.nodes.insert(entry, Node::Directory);
            } else {
                let node = Node::File {
                    mode: meta.mode & 0o777,
                    bytes: Vec::new(),
                };
                self.nodes.insert(entry, node);
            }
        }
        self.nodes.insert(place, Node::Directory);
    }

    fn link(&mut self, place: &str, target: &str) {
        // An archive with a link above its own top is refused; the kernel stops at the top anyway.
        let depth = place.matches('/').count();
        let mut level = if target.starts_with('/') { 0 } else { depth };
        let mut clamped = Vec::new();
        for part in target.split('/') {
            match part {
                ".." if level == 0 => continue,
                ".." => level -= 1,
                "." | "" => {}
                _ => level += 1,
            }
            clamped.push(part);
        }
        self.nodes
            .insert(place.to_owned(), Node::Link(clamped.join("/")));
    }

    fn parent<'a>(&mut self, root: &Root, path: &'a str) -> Option<(String, &'a str)> {
        match path.rsplit_once('/') {
            Some((parent, name)) => Some((self.place(root, parent)?, name)),
            None => Some((String::new(), path)),
        }
    }

    /// Where `path` really lies; the links on the way become entries.
    fn place(&mut self, root: &Root, path: &str) -> Option<String> {
        let mut done = String::new();
        let mut todo: Vec<String> = path.rsplit('/').map(str::to_owned).collect();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    done.truncate(done.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let next = join(&done, &part);
            if OF_PROCESS.contains(&next.as_str()) {
                done = next;
                continue;
            }
            let Ok(target) = root.link(&next) else {
                done = next;
                continue;
            };
            links += 1;
            if links > LINKS {
                return None;
            }
            self.link(&next, &target);
            if target.starts_with('/') {
                done.clear();
            }
            todo.extend(target.rsplit('/').map(str::to_owned));
        }
        Some(done)
    }

    fn add_parents(&mut self) {
        let parents: Vec<String> = self
            .nodes
            .keys()
            .flat_map(|path| path.match_indices('/').map(|(at, _)| path[..at].to_owned()))
            .collect();
        for parent in parents {
            self.nodes.entry(parent).or_insert(Node::Directory);
        }
        self.nodes.remove("");
    }
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() {
        name.to_owned()
    } else {
        format!("{directory}/{name}")
    }
}
