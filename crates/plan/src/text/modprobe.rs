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
        let mut words = joined.split_whitespace();
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

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            let _ = option_values(&text, "vfio-pci", "ids");
        }
    }
}
