//! The text of the settings issue: the block that holds the settings, and the mark by which the issue is known.

use std::fmt::Write as _;
use std::ops::Range;

use sha2::{Digest as _, Sha256};

use crate::config::WrongSetting;
use crate::domain::hex;

/// Most bytes of a block: whoever edits the issue could keep the service busy with each read of it.
const LARGEST: usize = 64 * 1024;

/// Stands hidden in the description: labels come and go, whoever may relabel.
const MARK: &str = "<!-- vorhoelle settings issue -->";

/// Whether a description carries the mark.
pub(super) fn is_marked(description: &str) -> bool {
    description.contains(MARK)
}

/// The description with the mark.
pub(super) fn marked(description: &str) -> String {
    if is_marked(description) {
        return description.to_owned();
    }
    format!("{}\n\n{MARK}\n", description.trim_end())
}

/// The settings that stand in a description: the first block that begins with ```` ```yaml ````, without what ends
/// it.
pub(super) fn yaml_of(description: &str) -> Option<String> {
    let range = range_of(description)?;
    Some(description[range].replace('\r', "").trim_end().to_owned())
}

/// The description with these settings in its block, or in a new one where it has none.
pub(super) fn with_yaml(description: &str, yaml: &str) -> String {
    let yaml = yaml.trim_end();
    let block = if yaml.is_empty() { String::new() } else { format!("{yaml}\n") };
    let mut text = description.to_owned();
    match range_of(description) {
        Some(range) => text.replace_range(range, &block),
        None => {
            text.truncate(text.trim_end().len());
            let _ = write!(text, "\n\n```yaml\n{block}```\n");
        }
    }
    text
}

/// From the line behind the opening fence to the closing one. GitLab's own form ends lines with CR and LF, and people
/// leave blanks behind a fence.
fn range_of(description: &str) -> Option<Range<usize>> {
    let mut begin = None;
    let mut at = 0;
    for line in description.split_inclusive('\n') {
        let word = line.trim_end();
        match begin {
            None if word == "```yaml" && line.ends_with('\n') => begin = Some(at + line.len()),
            Some(begin) if is_closing(word) => return Some(begin..at),
            _ => {}
        }
        at += line.len();
    }
    None
}

/// Whether a line ends a block: GitLab takes three blanks before it, and more backticks than began the block.
fn is_closing(word: &str) -> bool {
    let fence = word.trim_start_matches(' ');
    word.len() - fence.len() <= 3 && fence.len() >= 3 && fence.bytes().all(|byte| byte == b'`')
}

/// Refuses the block of an issue that is too large to be read.
pub(super) fn refuse_a_large_block(iid: u64, yaml: &str) -> Result<(), Vec<WrongSetting>> {
    if yaml.len() <= LARGEST {
        return Ok(());
    }
    let message = format!("holds a block of more than {} KiB", LARGEST / 1024);
    Err(vec![WrongSetting { key: format!("issue #{iid}"), message }])
}

/// Tells one text of settings from another.
pub(super) fn fingerprint(yaml: &str) -> String {
    hex(&Sha256::digest(yaml)[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_is_found_whatever_stands_around_it() {
        let of = |text: &str| yaml_of(text);
        assert_eq!(
            of("x\n\n```yaml\nmin_score: 80\nlanguage: en\n```\n\ny").as_deref(),
            Some("min_score: 80\nlanguage: en")
        );
        assert_eq!(of("```yaml\n```").as_deref(), Some(""));
        for end in ["``` \r", " ```", "   ```", "````", "   `````  "] {
            let text = format!("```yaml  \r\nmin_score: 80\r\n{end}\nmin_score: 90\n```\n");
            assert_eq!(of(&text).as_deref(), Some("min_score: 80"), "{end}");
        }
        assert_eq!(of("```json\n{}\n```"), None);
        assert_eq!(of("```yaml\nopen"), None);
        for no_end in ["remind_after: 4d```", "    ```", "\t```", "``", "```yaml", "~~~"] {
            assert_eq!(of(&format!("```yaml\n{no_end}\nx")), None, "{no_end}");
        }
    }

    #[test]
    fn what_is_written_reads_back_and_nothing_else_changes() {
        for (before, after) in [
            ("x\n\n```yaml\n# a\n```\n\ny\n", "x\n\n```yaml\nmin_score: 80\n```\n\ny\n"),
            ("```yaml\n```", "```yaml\nmin_score: 80\n```"),
            ("x\r\n```yaml \r\na: 1\r\n```\r\ny", "x\r\n```yaml \r\nmin_score: 80\n```\r\ny"),
            ("```yaml\na: 1\n  ````\ny", "```yaml\nmin_score: 80\n  ````\ny"),
            ("people took it away\n", "people took it away\n\n```yaml\nmin_score: 80\n```\n"),
        ] {
            assert_eq!(with_yaml(before, "min_score: 80\n"), after);
            assert_eq!(yaml_of(after).as_deref(), Some("min_score: 80"));
        }
        assert_eq!(with_yaml("```yaml\na: 1\n```\n", ""), "```yaml\n```\n");
    }

    #[test]
    fn the_mark_is_put_once() {
        let once = marked("x\n");
        assert!(is_marked(&once) && !is_marked("x"));
        assert_eq!(marked(&once), once);
    }
}
