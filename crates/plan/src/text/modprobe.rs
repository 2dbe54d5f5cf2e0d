//! modprobe.d(5): directives, one a line, `\` joins lines.

use alloc::{string::String, vec::Vec};

use super::kargs::same_name;

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

    proptest! {
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
