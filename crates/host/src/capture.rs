//! Writes a host to an archive that can be shared: exactly what observing reads, with serials masked.
//!
//! The facts of a capture equal the facts of the host up to the masked words. Files lie where they
//! really are and links stay links, because `driver` and `iommu_group` links are facts. What a tree
//! cannot hold (sizes of images, free space, the log's symptoms, what was closed to this user) lies
//! under /run/passthru-capture.

mod mask;
mod tree;

use std::{collections::BTreeMap, fs, io, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use thiserror::Error;

use crate::{
    observe::{Wanted, captured, observe},
    root::{PathError, Root},
};
use mask::Masker;
use tree::{Node, Tree};

/// What a capture took along.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaptureReport {
    /// Files, links and directories in the archive.
    pub entries: usize,
    /// How many different words of each kind were masked: `UUID`, `MAC address` …
    pub masked: BTreeMap<&'static str, usize>,
    /// Paths that could not be read; with root they can.
    pub denied: Vec<String>,
}

/// A capture that could not be written.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The host cannot be read at all.
    #[error(transparent)]
    Host(#[from] PathError),
    /// The archive cannot be written.
    #[error("cannot write the capture: {0}")]
    Write(#[from] io::Error),
}

/// Writes the host under `root` as a tar archive compressed with gzip.
///
/// # Errors
/// If the root cannot be opened again or `writer` fails.
pub fn capture(root: &Root, writer: impl Write) -> Result<CaptureReport, CaptureError> {
    let recorder = root.recorder()?;
    let facts = observe(&recorder, Wanted::capture());
    let mut tree = Tree::of(root, &recorder.seen());
    let images: Vec<String> = facts
        .kernel
        .installed
        .iter()
        .filter_map(|kernel| kernel.image.as_ref())
        .map(|image| format!("{} {}\n", image.path, image.size))
        .collect();
    tree.add(captured::SIZES, images.concat());
    if let Some(free) = facts.boot.boot_free.value() {
        tree.add(captured::BOOT_FREE, format!("{free}\n"));
    }
    let partition = facts.boot.partition.as_ref();
    if let Some(free) = partition.and_then(|partition| partition.free.value()) {
        tree.add(captured::PARTITION_FREE, format!("{free}\n"));
    }
    let unified: Vec<String> = facts
        .boot
        .entries
        .iter()
        .filter(|entry| entry.unified)
        .filter_map(|entry| serde_json::to_string(entry).ok())
        .map(|line| line + "\n")
        .collect();
    tree.add(captured::UNIFIED, unified.concat());
    if let Some(lines) = facts.log.value() {
        tree.add(captured::DMESG, lines.join("\n"));
    }
    let denied = tree.denied.clone();
    tree.add(captured::DENIED, denied.join("\n"));

    let mut masker = Masker::new(root, &tree);
    let mut report = CaptureReport {
        denied,
        ..CaptureReport::default()
    };
    let gzip = flate2::write::GzEncoder::new(writer, flate2::Compression::default());
    let mut archive = tar::Builder::new(gzip);
    for (path, node) in &tree.nodes {
        append(&mut archive, &masker.name(path), node, path, &mut masker)?;
        report.entries += 1;
    }
    report.masked = masker.counts();
    archive.into_inner()?.finish()?.flush()?;
    Ok(report)
}

/// Writes the host under `root` to the new file `path`, readable by its owner only until they have
/// looked at it.
///
/// # Errors
/// If `path` exists or cannot be written, or as [`capture`]. A file that was begun is taken away.
pub fn capture_to(root: &Root, path: &Path) -> Result<CaptureReport, CaptureError> {
    let fail = |source| PathError {
        path: path.into(),
        source,
    };
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(fail)?;
    capture(root, io::BufWriter::new(&file))
        .and_then(|report| {
            file.sync_all().map_err(fail)?;
            Ok(report)
        })
        .inspect_err(|_| {
            // What matters is why it failed; a half archive is of no use.
            let _ = fs::remove_file(path);
        })
}

/// No clock and no owner: a capture of the same tree has the same bytes.
fn append(
    archive: &mut tar::Builder<impl Write>,
    name: &str,
    node: &Node,
    path: &str,
    masker: &mut Masker,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    match node {
        Node::Directory => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            archive.append_data(&mut header, format!("{name}/"), io::empty())
        }
        Node::File { mode, bytes } => {
            let bytes = masker.content(path, bytes);
            header.set_mode(*mode);
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, name, &bytes[..])
        }
        Node::Link(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_mode(0o777);
            header.set_size(0);
            archive.append_link(&mut header, name, masker.name(target))
        }
    }
}
