//! modprobe.d(5): directives, one a line, `\` joins lines.

use alloc::{string::String, vec::Vec};

use super::{ids, kargs::same_name};

/// One directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Number of its first line, from 1.
    pub line: usize,
    /// `options`, `softdep`, `blacklist`, `install`, `alias`, `remove` …
    pub keyword: String,
    /// The words after the keyword.
    pub arguments: Vec<String>,
}

impl Directive {
    /// The directive is `keyword` about the module `module`.
    pub fn is(&self, keyword: &str, module: &str) -> bool {
        self.keyword == keyword && self.arguments.first().is_some_and(|m| same_name(m, module))
    }
}

/// The directives of a file in order; comments and empty lines are left out.
pub fn directives(text: &str) -> Vec<Directive> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let mut joined = String::from(line);
        while joined.ends_with('\\') {
            joined.pop();
            match lines.next() {
                Some((_, next)) => {
                    joined.push(' ');
                    joined.push_str(next);
                }
                None => break,
            }
        }
        let mut words = joined.split_ascii_whitespace();
        match words.next() {
            Some(keyword) if !keyword.starts_with('#') => found.push(Directive {
                line: number + 1,
                keyword: keyword.into(),
                arguments: words.map(String::from).collect(),
            }),
            _ => {}
        }
    }
    found
}

/// Values of the parameter `parameter` in all `options module …` directives, with their lines.
pub fn option_values(text: &str, module: &str, parameter: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for directive in directives(text).iter().filter(|d| d.is("options", module)) {
        for argument in &directive.arguments[1..] {
            if let Some((name, value)) = argument.split_once('=')
                && same_name(name, parameter)
            {
                found.push((directive.line, value.trim_matches('"').into()));
            }
        }
    }
    found
}

/// `text` without the parameter `parameter` in its `options module …` directives; a directive that
/// has no parameter left goes as well. `None` if it is not there.
pub fn without_option(text: &str, module: &str, parameter: &str) -> Option<String> {
    let found = option_values(text, module, parameter);
    if found.is_empty() {
        return None;
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut result = String::new();
    let mut at = 0;
    while let Some(&line) = lines.get(at) {
        let mut end = at + 1;
        while lines[end - 1]
            .trim_end_matches(['\r', '\n'])
            .ends_with('\\')
            && end < lines.len()
        {
            end += 1;
        }
        let directive = &lines[at..end];
        if found.iter().any(|(number, _)| *number == at + 1) {
            let kept: Vec<String> = directive
                .iter()
                .map(|line| without_words(line, parameter))
                .collect();
            let whole = kept.concat();
            if directives(&whole).iter().any(|d| d.arguments.len() > 1) {
                result.push_str(&whole);
            }
        } else {
            result.push_str(line);
            directive[1..].iter().for_each(|line| result.push_str(line));
        }
        at = end;
    }
    Some(result)
}

/// What becomes of a directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// It stays, to the byte.
    Stays,
    /// It goes, with all its lines.
    Goes,
    /// It gets this text, its line end included.
    Becomes(String),
}

/// `text` with every directive as `edit` says; it is given the directive and its bytes, all joined
/// lines and the line end included. Comments, empty lines and other directives keep their bytes.
pub fn edited(text: &str, edit: impl Fn(&Directive, &str) -> Edit) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut result = String::with_capacity(text.len());
    let mut at = 0;
    while at < lines.len() {
        let mut end = at + 1;
        while end < lines.len() && goes_on(lines[end - 1]) {
            end += 1;
        }
        let raw: String = lines[at..end].concat();
        let directive = directives(&raw).into_iter().next();
        match directive.map(|d| edit(&Directive { line: at + 1, ..d }, &raw)) {
            Some(Edit::Goes) => {}
            Some(Edit::Becomes(text)) => result.push_str(&text),
            Some(Edit::Stays) | None => result.push_str(&raw),
        }
        at = end;
    }
    result
}

/// The next line belongs to this one. `str::lines` takes a line end of two bytes away as well.
fn goes_on(line: &str) -> bool {
    let body = line.strip_suffix('\n').unwrap_or(line);
    body.strip_suffix('\r').unwrap_or(body).ends_with('\\')
}

/// An `options` directive whose list of ids was cut by blanks, `ids=10de:1f08 10de:10f9`, with commas
/// in their place. `None` if no id pair stands behind the list.
pub fn joined_ids(raw: &str) -> Option<String> {
    let mut words = Vec::new();
    let mut rest = raw;
    while let Some(start) = rest.find(|c: char| !c.is_ascii_whitespace()) {
        let length = rest[start..]
            .find(|c: char| c.is_ascii_whitespace())
            .unwrap_or(rest.len() - start);
        words.push((&rest[..start], &rest[start..start + length]));
        rest = &rest[start + length..];
    }
    let mut result = String::with_capacity(raw.len());
    let mut in_list = false;
    let mut joined = false;
    let mut skipped = String::new();
    for (gap, word) in words {
        // A backslash alone joins lines.
        if in_list && word == "\\" {
            skipped.push_str(gap);
            skipped.push_str(word);
            continue;
        }
        if in_list && ids::is_pair(word) {
            let list = result.trim_end_matches(',').len();
            result.truncate(list);
            result.push(',');
            result.push_str(word.trim_start_matches(','));
            skipped.clear();
            joined = true;
            continue;
        }
        in_list = word
            .split_once('=')
            .is_some_and(|(name, _)| same_name(name, "ids"))
            && !word.ends_with('\\');
        result.push_str(&core::mem::take(&mut skipped));
        result.push_str(gap);
        result.push_str(word);
    }
    result.push_str(&skipped);
    result.push_str(rest);
    joined.then_some(result)
}

/// `line` without its words `parameter=…` and the blanks before them.
pub(crate) fn without_words(line: &str, parameter: &str) -> String {
    let mut result = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let word = rest[blanks..].find(|c: char| c.is_ascii_whitespace());
        let end = word.map_or(rest.len(), |i| blanks + i).max(1);
        let (part, tail) = rest.split_at(end.max(blanks).min(rest.len()));
        let is_it = part
            .trim_start()
            .split_once('=')
            .is_some_and(|(name, _)| same_name(name, parameter));
        if !is_it {
            result.push_str(part);
        }
        rest = tail;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_directives_and_continuations() {
        let text = "# a comment\noptions vfio-pci \\\n  ids=10de:1f08,10de:10f9 disable_vga=1\n\nsoftdep nouveau pre: vfio-pci\n";
        assert_eq!(
            option_values(text, "vfio_pci", "ids"),
            [(2, "10de:1f08,10de:10f9".into())]
        );
        let found = directives(text);
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[1].line, found[1].is("softdep", "nouveau")),
            (5, true)
        );
    }

    #[test]
    fn an_option_is_taken_out_and_the_rest_stays() {
        let gone = |text| without_option(text, "vfio-pci", "ids");
        assert_eq!(
            gone("# mine\noptions vfio_pci ids=1:2 disable_vga=1\n").as_deref(),
            Some("# mine\noptions vfio_pci disable_vga=1\n")
        );
        assert_eq!(
            gone("a\noptions vfio-pci \\\n  ids=1:2\nb").as_deref(),
            Some("a\nb")
        );
        assert_eq!(gone("options vfio disable=1\n"), None);
        assert_eq!(without_words("vfio-pci ids=1:2 x\n", "ids"), "vfio-pci x\n");
    }

    #[test]
    fn a_list_that_blanks_cut_is_joined() {
        for (cut, whole) in [
            (
                "options vfio-pci ids=10de:1f08 10de:10f9\n",
                "options vfio-pci ids=10de:1f08,10de:10f9\n",
            ),
            (
                "options vfio-pci  ids=10de:1f08, 10de:10f9\tx=1",
                "options vfio-pci  ids=10de:1f08,10de:10f9\tx=1",
            ),
            (
                "options vfio-pci ids=1:2 \\\n  3:4 \\\n x=y\n",
                "options vfio-pci ids=1:2,3:4 \\\n x=y\n",
            ),
            (
                "options vfio-pci ids=\"1:2 3:4\"\r\n",
                "options vfio-pci ids=\"1:2,3:4\"\r\n",
            ),
        ] {
            assert_eq!(joined_ids(cut).as_deref(), Some(whole));
        }
        for other in [
            "options vfio-pci ids=10de:1f08 disable_vga=1\n",
            "options vfio-pci disable_vga=1 10de:10f9\n",
            "options vfio-pci ids=1:2 audio\n",
        ] {
            assert_eq!(joined_ids(other), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_not_edited_keeps_its_bytes(text in "(options vfio-pci|blacklist a|ids=1:2|3:4|\\\\|\r|\n| |#| b){0,20}") {
            prop_assert_eq!(edited(&text, |_, _| Edit::Stays), text.clone());
            // Every directive is seen, with its line.
            let seen = core::cell::RefCell::new(Vec::new());
            edited(&text, |d, _| { seen.borrow_mut().push(d.clone()); Edit::Stays });
            prop_assert_eq!(seen.into_inner(), directives(&text));
        }

        #[test]
        fn comments_and_blanks_stay_when_directives_go(
            lines in prop::collection::vec("(# x|  |blacklist nouveau|options a b=1|)", 0..8),
        ) {
            let text: String = lines.iter().map(|line| line.clone() + "\n").collect();
            let rest: String = lines
                .iter()
                .filter(|line| !line.starts_with("blacklist"))
                .map(|line| line.clone() + "\n")
                .collect();
            let goes = |d: &Directive, _: &str| if d.keyword == "blacklist" { Edit::Goes } else { Edit::Stays };
            prop_assert_eq!(edited(&text, goes), rest);
        }

        #[test]
        fn a_joined_list_reads_as_one(ids in prop::collection::vec("[0-9a-f]{4}:[0-9a-f]{4}", 2..5), gap in "[ \t]{1,3}") {
            let cut = alloc::format!("options vfio-pci ids={}", ids.join(&gap));
            let whole = joined_ids(&cut).expect("it is cut");
            prop_assert_eq!(option_values(&whole, "vfio-pci", "ids"), [(1, ids.join(","))]);
            prop_assert_eq!(joined_ids(&whole), None);
        }

        #[test]
        fn what_is_taken_out_is_gone(text in "(options vfio-pci|softdep a|ids=1:2|x=y|\\\\\n|\r\n|\n| |\u{a0}|#){0,20}") {
            match without_option(&text, "vfio-pci", "ids") {
                Some(after) => {
                    prop_assert!(option_values(&after, "vfio-pci", "ids").is_empty());
                    prop_assert!(after.len() < text.len());
                }
                None => prop_assert!(option_values(&text, "vfio-pci", "ids").is_empty()),
            }
        }

        #[test]
        fn any_text_is_read(text in any::<String>()) {
            let _ = option_values(&text, "vfio-pci", "ids");
        }
    }
}
