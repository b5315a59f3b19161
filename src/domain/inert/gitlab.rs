//! Text in GitLab's Markdown.
//!
//! Two things are done to it. Backslashes before punctuation keep it from being Markdown. An invisible word joiner
//! breaks what GitLab finds in the text *after* Markdown was rendered, where a backslash is long gone: mentions,
//! references, addresses of issues, emoji. A code fence would be simpler, but its lines do not wrap, and an
//! advertisement is there to be read; besides, a fence does not stop quick actions after a `>>>` line (fact sheet, 3.3).

use std::fmt;

use serde::Serialize;

/// Breaks a word for GitLab's filters and shows as nothing. U+2060 is no letter, no digit and no white space.
pub(super) const JOINER: char = '\u{2060}';
/// GitLab's limit on a title, in characters.
const TITLE_LIMIT: usize = 255;

/// One line: in a table, a list, a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct GitlabLine(String);

impl GitlabLine {
    /// Makes a text one harmless line.
    pub fn new(text: &str) -> Self {
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self(escape_line(line.trim()))
    }

    /// The line as it was before it was made harmless.
    pub fn read_back(line: &str) -> String {
        unescape_line(line.trim()).trim().to_owned()
    }
}

impl fmt::Display for GitlabLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text of several lines, such as the advertisement. Lines stay lines, paragraphs paragraphs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct GitlabBlock(String);

impl GitlabBlock {
    /// Makes a text harmless. Its control characters but line breaks and tabs are gone already or go now.
    pub fn new(text: &str) -> Self {
        let text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
        let mut block = String::with_capacity(text.len() * 5 / 4);
        let mut lines = text.split('\n').peekable();
        while let Some(line) = lines.next() {
            block.push_str(&escape_line(line));
            let Some(next) = lines.peek() else { break };
            // A break inside a paragraph; between paragraphs the empty line does it.
            if !line.is_empty() && !next.is_empty() {
                block.push('\\');
            }
            block.push('\n');
        }
        Self(block)
    }

    /// The text as it was before it was made harmless.
    pub fn read_back(block: &str) -> String {
        let lines: Vec<String> = block.split('\n').map(unescape_line).collect();
        lines.join("\n")
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for GitlabBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An issue's title: shown as plain text in most places, so that it gets joiners and no backslashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitlabTitle(String);

impl GitlabTitle {
    /// Makes a text a harmless title of at most 255 characters, behind a beginning of our own.
    pub fn new(own: &str, text: &str) -> Self {
        let text: Vec<char> = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let mut title: Vec<char> = own.chars().collect();
        for (index, c) in text.iter().enumerate() {
            title.push(*c);
            let is_markup =
                matches!(c, '<' | '[' | '`') && text.get(index + 1).is_some_and(|c| !c.is_whitespace());
            if is_markup || needs_joiner(&text, index) {
                title.push(JOINER);
            }
        }
        if title.len() > TITLE_LIMIT {
            title.truncate(TITLE_LIMIT - 1);
            title.push('…');
        }
        Self(title.into_iter().collect::<String>().trim().to_owned())
    }

    /// The title.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// Escapes a line without its line break.
fn escape_line(line: &str) -> String {
    let text: Vec<char> = line.chars().collect();
    let first = text.iter().position(|c| !c.is_whitespace()).unwrap_or(text.len());
    let last = text.iter().rposition(|c| !c.is_whitespace()).unwrap_or(0);
    let mut escaped = String::with_capacity(line.len() + line.len() / 4);
    for (index, c) in text.iter().copied().enumerate() {
        // White space at the ends would be cut off or be an indented code block; an entity is neither.
        let is_outer = index < first || index > last;
        if c.is_whitespace() && (is_outer || c != ' ') {
            escaped.push_str(&format!("&#{};", u32::from(c)));
        } else {
            if is_markdown(c) || (begins_a_block(c) && is_at_the_start(&text[first.min(index)..index])) {
                escaped.push('\\');
            }
            escaped.push(c);
        }
        if needs_joiner(&text, index) {
            escaped.push(JOINER);
        }
    }
    escaped
}

/// Undoes [`escape_line`], and drops the backslash of a line break.
fn unescape_line(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some(escaped) => text.push(escaped),
                None => break,
            },
            '&' => {
                // A person may have typed a bare `&`; only what we write ourselves is an entity.
                let ahead: String = rest.clone().take_while(|c| *c != ';').take(8).collect();
                let code =
                    ahead.strip_prefix('#').and_then(|digits| digits.parse().ok()).and_then(char::from_u32);
                match code {
                    Some(code) => {
                        text.push(code);
                        rest.nth(ahead.chars().count());
                    }
                    None => text.push('&'),
                }
            }
            c => text.push(c),
        }
        rest.next_if_eq(&JOINER);
    }
    text
}

/// Means something to Markdown wherever it stands.
const fn is_markdown(c: char) -> bool {
    matches!(
        c,
        '\\' | '`'
            | '*'
            | '_'
            | '['
            | ']'
            | '<'
            | '>'
            | '#'
            | '!'
            | '|'
            | '~'
            | '^'
            | '$'
            | '%'
            | '&'
            | '@'
            | '{'
            | '}'
    )
}

/// Means something at the start of a line: a list, a rule, a heading's underline, a quick action.
const fn begins_a_block(c: char) -> bool {
    matches!(c, '/' | '+' | '-' | '=' | ':' | '.' | ')')
}

/// Whether what stands before is nothing, or the number of a list.
fn is_at_the_start(before: &[char]) -> bool {
    before.iter().all(|c| c.is_ascii_digit())
}

/// Whether GitLab would make something of the rendered text from here on.
///
/// A joiner that was in the text already gets another, so that taking one away after any character undoes it.
pub(super) fn needs_joiner(text: &[char], index: usize) -> bool {
    let next = |offset: usize| text.get(index + offset).copied();
    let Some(following) = next(1) else { return false };
    if following == JOINER {
        return true;
    }
    let before = |offset: usize| index.checked_sub(offset).map(|at| text[at].to_ascii_lowercase());
    let rest = || text[index + 1..].iter().copied();
    match text[index] {
        '@' | '#' | '!' | '~' | '%' | '$' | '&' | '^' => {
            !following.is_whitespace() && !matches!(following, ')' | ']' | ',' | ';')
        }
        ':' => following == '/' || is_emoji(rest()),
        '[' => is_reference_word(rest()) || is_table_of_contents(rest()),
        '*' => following == 'i' || following == 'I',
        '-' => following.is_ascii_digit() && before(1) == Some('l') && before(2) == Some('g'),
        'w' | 'W' => following == '.' && before(1) == Some('w') && before(2) == Some('w'),
        c if c.is_ascii_hexdigit() => is_start_of_commit(text, index),
        _ => false,
    }
}

/// `TOC]` or `[_TOC_]]` after a bracket: GitLab looks for them in the text that Markdown has made already.
fn is_table_of_contents(rest: impl Iterator<Item = char>) -> bool {
    let word: String = rest.take("[_toc_]]".len()).collect::<String>().to_ascii_lowercase();
    word.starts_with("toc]") || word == "[_toc_]]"
}

/// `smile:` after a colon.
fn is_emoji(rest: impl Iterator<Item = char>) -> bool {
    let mut length = 0;
    for c in rest {
        match c {
            ':' => return length > 0,
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '+' | '-' => length += 1,
            _ => return false,
        }
    }
    false
}

/// `issue:` after a bracket.
fn is_reference_word(rest: impl Iterator<Item = char>) -> bool {
    let mut rest = rest;
    rest.find(|c| !(c.is_ascii_alphabetic() || *c == '_')) == Some(':')
}

/// The first of 7–40 hexadecimal digits that stand alone: a commit, for GitLab. Digits alone are a telephone number.
fn is_start_of_commit(text: &[char], index: usize) -> bool {
    let is_word = |c: &char| c.is_alphanumeric() || *c == '_';
    if index.checked_sub(1).is_some_and(|before| is_word(&text[before])) {
        return false;
    }
    let word = text[index..].iter().take(41).take_while(|c| is_word(c));
    let word: Vec<&char> = word.collect();
    (7..=40).contains(&word.len())
        && word.iter().all(|c| c.is_ascii_hexdigit())
        && word.iter().any(|c| c.is_ascii_digit())
        && word.iter().any(|c| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(text: &str) {
        let block = GitlabBlock::new(text);
        assert_eq!(GitlabBlock::read_back(&block.to_string()), text, "{block}");
    }

    #[test]
    fn a_block_can_be_undone_exactly() {
        for text in [
            "",
            "\n",
            "\n\n a\n",
            "plain",
            "two\nlines",
            "a\n\nb",
            "back\\",
            "back\\\nslash\\\\\n",
            " lead\ttab ",
            "&#32; &amp;",
            "@all\u{2060}",
            "\u{2060}@\u{2060}\u{2060}x\u{2060}",
            "1. x\n2) y",
            "/close",
            "  /close  ",
            "www\u{2060}.a",
            "a1b2c3d4",
            ":\u{2060}//",
            "\u{a0}x\u{2028}y\u{3000}",
            "#",
            "x\\&#10;",
        ] {
            round_trip(text);
        }
    }

    #[test]
    fn what_a_person_typed_into_a_block_stays() {
        assert_eq!(GitlabBlock::read_back("R & D (x); more &amp; &#32;"), "R & D (x); more &amp;  ");
    }

    #[test]
    fn a_block_reads_well() {
        let text =
            "Wir suchen: Rust (m/w/d) – 100 % remote.\n- AWS & Co.\n- C#\n\nhttps://jobs.example/1 um 12:30";
        let shown = "Wir suchen: Rust (m/w/d) – 100 \\% remote.\\\n\\- AWS \\& Co.\\\n\\- C\\#\n\nhttps:\u{2060}//jobs.example/1 um 12:30";
        assert_eq!(GitlabBlock::new(text).to_string(), shown);
    }

    #[test]
    fn a_table_of_contents_is_only_a_word() {
        for text in ["[TOC]", "[toc]", "[[_TOC_]]"] {
            let shown = GitlabBlock::new(text).to_string().replace('\\', "");
            assert!(!shown.contains(text), "{shown}");
            assert_eq!(shown.replace('\u{2060}', ""), text);
        }
    }

    #[test]
    fn mentions_references_and_addresses_are_broken() {
        let line =
            GitlabLine::new("@all #1 !2 ~bug %\"1.0\" $3 &4 GL-5 [issue:6] a1b2c3d :tada: x@y.at www.a.at");
        let shown = line.to_string();
        for broken in [
            "@\u{2060}all",
            "#\u{2060}1",
            "!\u{2060}2",
            "~\u{2060}bug",
            "%\u{2060}\"",
            "$\u{2060}3",
            "&\u{2060}4",
            "GL-\u{2060}5",
            "[\u{2060}issue",
            "a\u{2060}1b2c3d",
            ":\u{2060}tada",
            "x\\@\u{2060}y",
            "www\u{2060}.a",
        ] {
            assert!(shown.contains(broken), "{broken} in {shown}");
        }
        assert_eq!(GitlabLine::new(" a\nb|c ").to_string(), "a b\\|c");
    }

    #[test]
    fn a_title_is_broken_and_cut_and_keeps_its_look() {
        let title = GitlabTitle::new("[97 %] ", "Cloud Architect – Amoria Bond").into_string();
        assert_eq!(title, "[97 %] Cloud Architect – Amoria Bond");
        let hostile = GitlabTitle::new("", "@all see #1 and http://gitlab.example/a/b/-/issues/1\n/close")
            .into_string();
        assert!(!hostile.contains("@a") && !hostile.contains("#1") && !hostile.contains("://"));
        assert!(!hostile.contains('\n'));
        let long = GitlabTitle::new("", &"@ü".repeat(300)).into_string();
        assert_eq!(long.chars().count(), 255);
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in "[\\PC\n\t]*") {
            round_trip(&text);
        }

        #[test]
        fn hostile_text_comes_back(text in "[-@#!/\\\\&;0-9a-f:*\\[w. \n\t\u{2060}>`~]{0,60}") {
            round_trip(&text);
        }
    }
}
