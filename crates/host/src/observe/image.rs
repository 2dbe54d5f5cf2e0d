//! Opens an initramfs: any row of cpio archives, each plain or compressed, with zeros between
//! (`Documentation/driver-api/early-userspace/buffer-format.rst`). Microcode comes first and plain,
//! the rest follows compressed. In a unified kernel image it is the section `.initrd`. The archive is
//! streamed; only paths and small texts are kept.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
};

use passthru_plan::text::{
    cpio::{self, HEADER, Header, TRAILER},
    pe,
};
use thiserror::Error;

use crate::root::Root;

/// Texts of an image that decide how drivers bind; patterns as for [`read_image`].
pub(super) const CONFIGURATION: [&str; 13] = [
    "conf/*",
    "etc/modprobe.d/*",
    "etc/modules-load.d/*",
    "etc/cmdline.d/*",
    "hooks/passthru",
    "lib/modprobe.d/*",
    "usr/lib/modprobe.d/*",
    "scripts/init-top/*",
    "lib/dracut/hooks/*",
    "usr/lib/dracut/hooks/*",
    "usr/lib/passthru/*",
    "usr/lib/systemd/system/passthru-bind.service",
    "var/lib/dracut/hooks/*",
];

/// Texts larger than this are not kept: no configuration file is.
const TEXT_LIMIT: u32 = 256 << 10;
/// All texts of an image together.
const TEXTS_LIMIT: usize = 8 << 20;
/// More entries than this are no initramfs.
const ENTRY_LIMIT: usize = 500_000;
/// PATH_MAX and the closing NUL.
const NAME_LIMIT: u32 = 4097;

/// What an initramfs holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageContent {
    /// Every path, sorted, without a leading slash.
    pub entries: Vec<String>,
    /// The wanted files that are UTF-8 text, by path.
    pub texts: BTreeMap<String, String>,
}

/// An image that cannot be opened here, and why.
#[derive(Debug, Error)]
#[error("{path} {problem}")]
pub struct ImageError {
    /// The image, as a path of the host.
    pub path: String,
    /// What is the matter.
    #[source]
    pub problem: Problem,
}

impl ImageError {
    /// The image was opened and would not boot.
    pub const fn is_damage(&self) -> bool {
        matches!(
            self.problem,
            Problem::Empty | Problem::Truncated | Problem::Damaged(_)
        )
    }
}

/// What is the matter with an image.
#[derive(Debug, Error)]
pub enum Problem {
    /// It cannot be opened.
    #[error("cannot be opened: {0}")]
    Closed(#[source] io::Error),
    /// Nothing but zeros.
    #[error("is empty or all zeros")]
    Empty,
    /// A compression other than gzip and zstd.
    #[error("is compressed with {0}, which passthru does not unpack itself")]
    Compression(&'static str),
    /// A PE file without an initramfs inside.
    #[error("is a kernel image without an initramfs")]
    Unified,
    /// No format that an initramfs is made of.
    #[error("has something at its start or behind an archive that is neither cpio nor compressed")]
    Unknown,
    /// It ends too early.
    #[error("ends in the middle (truncated?)")]
    Truncated,
    /// Its parts make no sense.
    #[error("is damaged: {0}")]
    Damaged(&'static str),
    /// Reading or unpacking failed.
    #[error("cannot be read: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Io(error),
        }
    }
}

/// The paths in the initramfs `path`, and the texts of the files that `keep` names: exact paths, or
/// with a final `*` everything that starts so.
///
/// # Errors
/// If it cannot be opened, is truncated or damaged, or is compressed with anything but gzip or zstd.
pub fn read_image(root: &Root, path: &str, keep: &[&str]) -> Result<ImageContent, ImageError> {
    let fail = |problem| ImageError {
        path: path.to_owned(),
        problem,
    };
    let file = root
        .stream(path)
        .map_err(|error| fail(Problem::Closed(error.source)))?;
    let mut sink = Sink {
        content: ImageContent::default(),
        keep,
        text_bytes: 0,
    };
    let initramfs = part(&file).map_err(fail)?;
    let mut input: &mut dyn Read = &mut &file;
    let mut section;
    if let Some(initramfs) = initramfs {
        (&file)
            .seek(SeekFrom::Start(initramfs.offset))
            .map_err(|error| fail(error.into()))?;
        section = (&file).take(initramfs.size);
        input = &mut section;
    }
    archives(&mut BufReader::with_capacity(64 << 10, input), 0, &mut sink).map_err(fail)?;
    if sink.content.entries.is_empty() {
        return Err(fail(Problem::Empty));
    }
    sink.content.entries.sort_unstable();
    sink.content.entries.dedup();
    Ok(sink.content)
}

/// The part of a unified kernel image that is the initramfs; `None` if the file is one as a whole.
fn part(file: &File) -> Result<Option<pe::Section>, Problem> {
    let Some(sections) = pe_sections(file)? else {
        return Ok(None);
    };
    pe::section(&sections, ".initrd")
        .cloned()
        .map(Some)
        .ok_or(Problem::Unified)
}

/// The section table, if the file is a PE image.
pub(super) fn pe_sections(file: &File) -> io::Result<Option<Vec<pe::Section>>> {
    let mut head = vec![0; pe::HEAD];
    let mut length = 0;
    while length < head.len() {
        match file.read_at(&mut head[length..], length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(pe::sections(&head[..length]))
}

struct Sink<'a> {
    content: ImageContent,
    keep: &'a [&'a str],
    text_bytes: usize,
}

impl Sink<'_> {
    fn keeps(&self, path: &str, header: &Header) -> bool {
        header.is_file()
            && header.size <= TEXT_LIMIT
            && self.text_bytes + header.size as usize <= TEXTS_LIMIT
            && self
                .keep
                .iter()
                .any(|pattern| match pattern.strip_suffix('*') {
                    Some(start) => path.starts_with(start),
                    None => path == *pattern,
                })
    }
}

/// Reads archives up to the end of `input`. Compression inside compression does not occur.
fn archives(input: &mut dyn BufRead, level: u8, sink: &mut Sink<'_>) -> Result<(), Problem> {
    while skip_zeros(input)? {
        let mut magic = [0_u8; 6];
        input.read_exact(&mut magic)?;
        let mut whole = (&magic[..]).chain(&mut *input);
        match magic {
            [b'0', b'7', b'0', b'7', b'0', b'1' | b'2'] => archive(&mut whole, sink)?,
            _ if level > 0 => return Err(Problem::Unknown),
            [0x1f, 0x8b, ..] => {
                let mut gzip = flate2::bufread::GzDecoder::new(whole);
                archives(&mut BufReader::with_capacity(64 << 10, &mut gzip), 1, sink)?;
                // The checksum stands behind the content.
                io::copy(&mut gzip, &mut io::sink())?;
            }
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                let mut zstd = ruzstd::decoding::StreamingDecoder::new(&mut whole)
                    .map_err(|_| Problem::Damaged("bad zstd frame"))?;
                archives(&mut BufReader::with_capacity(64 << 10, &mut zstd), 1, sink)?;
                io::copy(&mut zstd, &mut io::sink())?;
            }
            [0xfd, b'7', b'z', b'X', b'Z', 0] => return Err(Problem::Compression("xz")),
            [0x02, 0x21, 0x4c, 0x18, ..] | [0x04, 0x22, 0x4d, 0x18, ..] => {
                return Err(Problem::Compression("lz4"));
            }
            [0x5d, 0, 0, ..] => return Err(Problem::Compression("lzma")),
            [b'B', b'Z', b'h', ..] => return Err(Problem::Compression("bzip2")),
            [0x89, b'L', b'Z', b'O', ..] => return Err(Problem::Compression("lzo")),
            [b'M', b'Z', ..] => return Err(Problem::Unified),
            _ => return Err(Problem::Unknown),
        }
    }
    Ok(())
}

/// Skips zeros; false at the end of the input.
fn skip_zeros(input: &mut dyn BufRead) -> Result<bool, Problem> {
    loop {
        let buffer = match input.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        if buffer.is_empty() {
            return Ok(false);
        }
        let zeros = buffer.iter().take_while(|&&byte| byte == 0).count();
        let more = zeros < buffer.len();
        input.consume(zeros);
        if more {
            return Ok(true);
        }
    }
}

/// One cpio archive, up to and with its trailer.
fn archive(input: &mut dyn Read, sink: &mut Sink<'_>) -> Result<(), Problem> {
    loop {
        let mut bytes = [0_u8; HEADER];
        input.read_exact(&mut bytes)?;
        let header = Header::parse(&bytes).ok_or(Problem::Damaged("bad cpio header"))?;
        if header.name_size == 0 || header.name_size > NAME_LIMIT {
            return Err(Problem::Damaged("a name longer than a path can be"));
        }
        let mut name = vec![0; header.name_size as usize + header.name_padding()];
        input.read_exact(&mut name)?;
        let path = cpio::path(&name[..header.name_size as usize]);
        if path == TRAILER {
            return Ok(());
        }
        if sink.content.entries.len() == ENTRY_LIMIT {
            return Err(Problem::Damaged("more than 500,000 entries"));
        }
        let size = u64::from(header.size);
        if sink.keeps(&path, &header) {
            let mut text = vec![0; header.size as usize];
            input.read_exact(&mut text)?;
            sink.text_bytes += text.len();
            if let Ok(text) = String::from_utf8(text) {
                sink.content.texts.insert(path.clone(), text);
            }
        } else {
            skip(input, size)?;
        }
        skip(input, header.content_padding() as u64)?;
        if path != "." {
            sink.content.entries.push(path);
        }
    }
}

fn skip(input: &mut dyn Read, bytes: u64) -> Result<(), Problem> {
    if io::copy(&mut input.take(bytes), &mut io::sink())? == bytes {
        Ok(())
    } else {
        Err(Problem::Truncated)
    }
}
