//! Taking an edit back from a file that others have changed since: what the edit added goes, what it
//! removed comes back, and every other byte of the file stays.
//!
//! A three-way merge with the edited text as the common ancestor: the change from `after` back to
//! `before` is applied to `current`. First by lines; where a line that the edit changed was changed
//! again, by words, so that `quiet iommu=pt splash` loses `iommu=pt` and keeps the `splash` that
//! somebody added later.

use alloc::{format, string::String, vec, vec::Vec};
use core::ops::Range;

/// A text from which an edit was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The text.
    pub text: String,
    /// What could not be taken back, in words; empty if all could.
    pub left: Vec<String>,
}

/// Takes the edit from `before` to `after` back from `current`.
pub fn take_back(before: &str, after: &str, current: &str) -> Merged {
    if current == after {
        return Merged {
            text: before.into(),
            left: Vec::new(),
        };
    }
    if before == after || current == before {
        return Merged {
            text: current.into(),
            left: Vec::new(),
        };
    }
    if let Some(merged) = without_block(before, after, current) {
        return merged;
    }
    let before: Vec<&str> = before.split_inclusive('\n').collect();
    let after: Vec<&str> = after.split_inclusive('\n').collect();
    let current: Vec<&str> = current.split_inclusive('\n').collect();
    let matched = positions(&after, &current);
    let mut patch = Patch::new(&current);
    let mut left = Vec::new();
    for hunk in hunks(&before, &after) {
        let removed = &before[hunk.before.clone()];
        let added = &after[hunk.after.clone()];
        let gap = gap(&matched, &hunk.after, current.len());
        let found: Vec<usize> = hunk.after.clone().filter_map(|i| matched[i]).collect();
        if found.len() == added.len() {
            for &line in &found {
                patch.delete(line);
            }
            let at = found.first().copied().unwrap_or(gap.start);
            if !stands_at(&current, gap.clone(), removed) {
                patch.insert(at, removed.concat());
            }
            continue;
        }
        let strays: Vec<usize> = gap.clone().filter(|line| !found.contains(line)).collect();
        if !removed.is_empty() && !added.is_empty() && !strays.is_empty() {
            // The line the edit changed was changed again.
            let (text, lost) = by_words(
                &removed.concat(),
                &added.concat(),
                &current[gap.clone()].concat(),
            );
            for line in gap.clone() {
                patch.delete(line);
            }
            patch.insert(gap.start, text);
            left.extend(lost);
            continue;
        }
        for &line in &found {
            patch.delete(line);
        }
        if removed.is_empty() {
            // Lines of ours that are not there as they were: gone, or changed by somebody, and
            // then no longer only ours.
            for line in strays {
                if added.iter().any(|ours| resembles(ours, current[line])) {
                    left.push(format!(
                        "the line \"{}\" resembles one that was added and was changed since; it \
                         is left as it is",
                        current[line].trim_end()
                    ));
                }
            }
        } else if !stands_at(&current, gap.clone(), removed) {
            let at = found.first().copied().unwrap_or(gap.start);
            patch.insert(at, removed.concat());
        }
    }
    Merged {
        text: patch.apply(&current),
        left,
    }
}

/// The lines around a block that is passthru's as a whole, whoever changed it since: half of a boot
/// entry would be worse than none.
const BLOCK: [&str; 2] = ["# Written by passthru", "# End of passthru"];

/// If all the edit did was to put such a block in, `current` without it.
fn without_block(before: &str, after: &str, current: &str) -> Option<Merged> {
    let cut =
        |text: &str, block: &Range<usize>| [&text[..block.start], &text[block.end..]].concat();
    let ours = block(after)?;
    if cut(after, &ours) != before {
        return None;
    }
    let theirs = block(current)?;
    let left = if after[ours] == current[theirs.clone()] {
        Vec::new()
    } else {
        vec!["what somebody changed in passthru's block went with it".into()]
    };
    Some(Merged {
        text: cut(current, &theirs),
        left,
    })
}

/// The lines from the first that begins a block to the one that ends it.
fn block(text: &str) -> Option<Range<usize>> {
    let mut start = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if start.is_none() && line.starts_with(BLOCK[0]) {
            start = Some(at);
        }
        at += line.len();
        if let (Some(start), true) = (start, line.starts_with(BLOCK[1])) {
            return Some(start..at);
        }
    }
    None
}

/// A place where two texts differ.
struct Hunk {
    before: Range<usize>,
    after: Range<usize>,
}

/// Where the pieces of `from` are in `to`: the longest common subsequence.
fn positions(from: &[&str], to: &[&str]) -> Vec<Option<usize>> {
    let mut found = vec![None; from.len()];
    let start = from.iter().zip(to).take_while(|(a, b)| a == b).count();
    let end = from[start..]
        .iter()
        .rev()
        .zip(to[start..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    for (i, place) in found.iter_mut().enumerate().take(start) {
        *place = Some(i);
    }
    for i in 0..end {
        found[from.len() - 1 - i] = Some(to.len() - 1 - i);
    }
    let a = &from[start..from.len() - end];
    let b = &to[start..to.len() - end];
    if a.len().saturating_mul(b.len()) > LIMIT {
        // Too different to compare piece by piece: what is in between counts as changed.
        return found;
    }
    // length[i][j]: of the longest common subsequence of a[i..] and b[j..].
    let width = b.len() + 1;
    let mut length = vec![0_u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            length[i * width + j] = if a[i] == b[j] {
                length[(i + 1) * width + j + 1] + 1
            } else {
                length[(i + 1) * width + j].max(length[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        if a[i] == b[j] {
            found[start + i] = Some(start + j);
            i += 1;
            j += 1;
        } else if length[(i + 1) * width + j] >= length[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    found
}

/// Pieces compared at most; files that are edited are far smaller.
const LIMIT: usize = 4 << 20;

fn hunks(before: &[&str], after: &[&str]) -> Vec<Hunk> {
    let matched = positions(before, after);
    let mut hunks = Vec::new();
    let (mut b, mut a) = (0, 0);
    loop {
        let next = (b..before.len()).find(|&i| matched[i].is_some());
        let (b_end, a_end) = next.map_or((before.len(), after.len()), |i| {
            (i, matched[i].unwrap_or(after.len()))
        });
        if b < b_end || a < a_end {
            hunks.push(Hunk {
                before: b..b_end,
                after: a..a_end,
            });
        }
        if next.is_none() {
            return hunks;
        }
        (b, a) = (b_end + 1, a_end + 1);
    }
}

/// The part of the current text that lies where `range` of the edited text was: between what is
/// known to stand before it and after it.
fn gap(matched: &[Option<usize>], range: &Range<usize>, length: usize) -> Range<usize> {
    let start = matched[..range.start]
        .iter()
        .rev()
        .find_map(|found| *found)
        .map_or(0, |i| i + 1);
    let end = matched[range.end..]
        .iter()
        .find_map(|found| *found)
        .unwrap_or(length);
    start..end.max(start)
}

/// `pieces` stand in `range` of `current` already, one after the other.
fn stands_at(current: &[&str], range: Range<usize>, pieces: &[&str]) -> bool {
    pieces.is_empty() || current[range].windows(pieces.len()).any(|w| w == pieces)
}

/// Two lines begin with the same word.
fn resembles(a: &str, b: &str) -> bool {
    let first = |line: &str| -> Option<String> {
        let word = line
            .split([' ', '\t', '='])
            .find(|w| !w.trim().is_empty())?;
        Some(word.trim().into())
    };
    let start = first(a);
    start.is_some() && start == first(b)
}

/// As [`take_back`], for a few lines, word by word.
fn by_words(before: &str, after: &str, current: &str) -> (String, Vec<String>) {
    let before = words(before);
    let after = words(after);
    let current = words(current);
    let matched = positions(&after, &current);
    let mut patch = Patch::new(&current);
    let mut left = Vec::new();
    for hunk in hunks(&before, &after) {
        let gap = gap(&matched, &hunk.after, current.len());
        for (piece, place) in after[hunk.after.clone()]
            .iter()
            .zip(&matched[hunk.after.clone()])
        {
            match place {
                Some(place) => patch.delete(*place),
                None if is_separator(piece) => {}
                // The same word elsewhere in the line: moved, perhaps. Whose it is, nobody knows.
                None if current.contains(piece) => left.push(format!(
                    "\"{piece}\" stands elsewhere than it was put; it is left as it is"
                )),
                None => {}
            }
        }
        let removed = &before[hunk.before.clone()];
        if !stands_at(&current, gap.clone(), removed) {
            let at = hunk.after.clone().find_map(|i| matched[i]);
            patch.insert(at.unwrap_or(gap.start), removed.concat());
        }
    }
    (patch.apply(&current), left)
}

fn is_separator(piece: &str) -> bool {
    piece
        .chars()
        .all(|c| c.is_whitespace() || matches!(c, '"' | '\'' | ','))
}

/// Words, each with the blanks or the comma before it, so that taking a word out takes those with it;
/// quotes and line ends alone.
fn words(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut in_word = false;
    for (i, c) in text.char_indices() {
        let alone = matches!(c, '\n' | '"' | '\'');
        let between = c == ',' || c.is_whitespace();
        if i > start && (alone || (between && in_word)) {
            pieces.push(&text[start..i]);
            start = i;
        }
        if alone {
            pieces.push(&text[start..=i]);
            start = i + 1;
        }
        in_word = !alone && !between;
    }
    if start < text.len() {
        pieces.push(&text[start..]);
    }
    pieces
}

/// Pieces to leave out and texts to put in.
struct Patch {
    deleted: Vec<bool>,
    /// Put before the piece of that number.
    inserted: Vec<(usize, String)>,
}

impl Patch {
    fn new(current: &[&str]) -> Self {
        Self {
            deleted: vec![false; current.len()],
            inserted: Vec::new(),
        }
    }

    fn delete(&mut self, piece: usize) {
        self.deleted[piece] = true;
    }

    fn insert(&mut self, at: usize, text: String) {
        self.inserted.push((at, text));
    }

    fn apply(&self, current: &[&str]) -> String {
        let mut text = String::new();
        for at in 0..=current.len() {
            for (_, inserted) in self.inserted.iter().filter(|(i, _)| *i == at) {
                text.push_str(inserted);
            }
            if let Some(piece) = current.get(at)
                && !self.deleted[at]
            {
                text.push_str(piece);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_goes_as_a_whole() {
        let after = "mine\n# Written by passthru for x\nentry\n# End of passthru's entry\n";
        let current = "mine\n# Written by passthru for x\nother\n# End of passthru's entry\nnew\n";
        let merged = take_back("mine\n", after, current);
        assert_eq!(merged.text, "mine\nnew\n");
        assert_eq!(merged.left.len(), 1);
        let same = current.replace("other", "entry");
        assert!(take_back("mine\n", after, &same).left.is_empty());
        // A block that stood there before is not ours to take.
        assert_eq!(
            take_back(after, &format!("{after}more\n"), current).text,
            current
        );
    }
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn check(before: &str, after: &str, current: &str, expected: &str) {
        let merged = take_back(before, after, current);
        assert_eq!(merged.text, expected);
        assert_eq!(merged.left, Vec::<String>::new());
    }

    #[test]
    fn words_are_taken_out_of_a_line_that_got_more_words() {
        check(
            "# top\nGRUB_CMDLINE_LINUX=\"quiet\"\nend\n",
            "# top\nGRUB_CMDLINE_LINUX=\"quiet iommu=pt\"\nend\n",
            "# top\nGRUB_CMDLINE_LINUX=\"quiet iommu=pt splash\"\nnew\nend\n",
            "# top\nGRUB_CMDLINE_LINUX=\"quiet splash\"\nnew\nend\n",
        );
    }

    #[test]
    fn a_word_put_before_ours_stays() {
        check(
            "X=\"quiet\"\n",
            "X=\"quiet iommu=pt\"\n",
            "X=\"quiet splash iommu=pt\"\n",
            "X=\"quiet splash\"\n",
        );
        check("X=\"\"\n", "X=\"a b\"\n", "X=\"a  c b\"\n", "X=\"  c\"\n");
    }

    #[test]
    fn ids_are_taken_out_of_a_list() {
        check(
            "options vfio-pci ids=1,2\n",
            "options vfio-pci ids=1,2,3,4\n",
            "options vfio-pci ids=1,2,3,4,5\n",
            "options vfio-pci ids=1,2,5\n",
        );
    }

    #[test]
    fn a_removed_word_comes_back_once() {
        let (before, after) = ("a b c\n", "a c\n");
        check(before, after, "a c d\n", "a b c d\n");
        // Also if it is there already: taking back twice is taking back once.
        check(before, after, "a b c d\n", "a b c d\n");
    }

    #[test]
    fn lines_are_taken_out_between_others() {
        check(
            "a\nd\n",
            "a\nb\nc\nd\n",
            "0\na\nb\nx\nc\nd\n",
            "0\na\nx\nd\n",
        );
        check("a\nb\n", "a\n", "0\na\n1\n", "0\na\nb\n1\n");
    }

    #[test]
    fn a_file_of_ours_that_got_lines_keeps_them() {
        check("", "ours\n", "ours\ntheirs\n", "theirs\n");
        check("", "ours\n", "theirs\n", "theirs\n");
    }

    #[test]
    fn a_line_of_ours_that_was_changed_is_left_and_said() {
        let merged = take_back("", "options a x=1\n", "options a x=1 y=2\n");
        assert_eq!(merged.text, "options a x=1 y=2\n");
        assert_eq!(merged.left.len(), 1);
    }

    #[test]
    fn a_missing_final_newline_survives() {
        check("a", "a\nb", "0\na\nb", "0\na");
        check("a\n", "a\nb\n", "a\nb\nc", "a\nc");
    }

    fn lines(alphabet: &'static str, most: usize) -> impl Strategy<Value = String> {
        proptest::collection::vec(proptest::string::string_regex(alphabet).unwrap(), 0..most)
            .prop_map(|lines| lines.concat())
    }

    proptest! {
        #[test]
        fn untouched_since_gives_exactly_what_was(b in "[ab ,\n]{0,40}", a in "[ab ,\n]{0,40}") {
            prop_assert_eq!(take_back(&b, &a, &a).text, b);
        }

        #[test]
        fn an_edit_that_changed_nothing_takes_nothing(b in "[ab\n]{0,40}", c in "[ab\n]{0,40}") {
            prop_assert_eq!(take_back(&b, &b, &c).text, c);
        }

        #[test]
        fn never_panics(b in ".{0,60}", a in ".{0,60}", c in ".{0,60}") {
            take_back(&b, &a, &c);
        }

        /// Somebody adds lines of his own around and between; ours go, his stay.
        #[test]
        fn added_lines_go_and_nothing_else(
            old in lines("[a-c]{1,3}\n", 8),
            ours in lines("P[a-c]{1,3}\n", 4),
            at in 0_usize..8,
            theirs in proptest::collection::vec((0_usize..16, "T[a-c]{1,3}\n"), 0..4),
        ) {
            let mut after: Vec<&str> = old.split_inclusive('\n').collect();
            let at = at.min(after.len());
            after.splice(at..at, ours.split_inclusive('\n'));
            let mut current = after.clone();
            for (place, line) in &theirs {
                current.insert((*place).min(current.len()), line);
            }
            let expected: String =
                current.iter().filter(|line| !line.starts_with('P')).copied().collect();
            let merged = take_back(&old, &after.concat(), &current.concat());
            prop_assert_eq!(&merged.text, &expected);
            // Once more changes nothing.
            prop_assert_eq!(take_back(&old, &after.concat(), &merged.text).text, expected);
        }

        /// The same with words of one line.
        #[test]
        fn added_words_go_and_nothing_else(
            old in proptest::collection::vec("[a-c]{1,3}", 1..5),
            ours in proptest::collection::vec("P[a-c]{1,3}", 1..4),
            theirs in proptest::collection::vec("T[a-c]{1,3}", 0..4),
            at in 0_usize..8,
        ) {
            let line = |words: &[String]| alloc::format!("X=\"{}\"\n", words.join(" "));
            let mut after = old.clone();
            after.extend(ours.iter().cloned());
            let mut current = after.clone();
            let at = at.min(current.len());
            current.splice(at..at, theirs.iter().cloned());
            let expected: Vec<String> =
                current.iter().filter(|word| !word.starts_with('P')).cloned().collect();
            let merged = take_back(&line(&old), &line(&after), &line(&current));
            prop_assert_eq!(merged.text, line(&expected));
        }
    }
}
