//! Option ROMs as text: the images, the findings about them, and the sum.

use std::io;

use passthru_plan::{
    Finding, Severity, Status, Verdict,
    rom::{CodeType, Image, Rom},
};

use super::{
    doctor,
    table::{self, Column},
    text::{Line, Style},
};
use crate::out::Out;

/// The images, one line each.
pub(crate) fn images(out: &mut Out, rom: &Rom) -> io::Result<()> {
    const SPEC: [Column; 5] = [
        column("offset", 8, 1),
        column("bytes", 5, 2),
        column("device", 9, 0),
        column("code", 11, 0),
        column("for", 6, 3),
    ];
    let rows: Vec<_> = rom.images.iter().map(|image| row(image).into()).collect();
    out.blank()?;
    for line in table::set(&SPEC, &rows, 2, out.columns()) {
        out.line(&line)?;
    }
    Ok(())
}

const fn column(title: &'static str, min: usize, rank: u8) -> Column {
    Column { title, min, rank }
}

fn row(image: &Image) -> [table::Cell; 5] {
    let style = if image.private {
        Style::Dim
    } else {
        Style::Plain
    };
    let code = match (&image.efi, image.code) {
        (Some(efi), CodeType::Efi) => format!("{}, {}", image.code.words(), efi.processor()),
        _ => image.code.words(),
    };
    [
        format!("{:#x}", image.offset),
        image.length.to_string(),
        image.ids.to_string(),
        code,
        image.class.word().to_owned(),
    ]
    .map(|text| (style, text))
}

/// The findings, by weight.
pub(crate) fn findings(out: &mut Out, findings: &[Finding]) -> io::Result<()> {
    doctor::show_as(out, findings, "Needed for a guest to use it")
}

/// The sum in one line.
pub(crate) fn verdict(out: &mut Out, findings: &[Finding]) -> io::Result<()> {
    let warned = findings
        .iter()
        .any(|f| f.severity == Severity::Warning && f.status != Status::Yes);
    let (word, style, rest) = match Verdict::of(findings) {
        Verdict::Ready if warned => (
            "Usable",
            Style::Warn,
            "a guest can be given this ROM; mind what is worth a look.",
        ),
        Verdict::Ready => ("Good", Style::Good, "a guest can be given this ROM."),
        Verdict::Blocked => (
            "Not usable",
            Style::Bad,
            "not as the file is; what to do stands above.",
        ),
        Verdict::Unknown => (
            "Unknown",
            Style::Warn,
            "nothing speaks against it, but not everything was measured.",
        ),
    };
    let lead = Line::new().put(style, format!("{word}: "));
    out.wrapped(lead, Style::Plain, rest)
}
