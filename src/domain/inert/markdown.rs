//! Markdown of somebody else that people shall read and edit as Markdown: it keeps its emphasis, lists and headings, and
//! does nothing in GitLab. What could act is broken by a backslash or an invisible joiner, and can be undone exactly.

use std::fmt;

use serde::Serialize;

use super::gitlab::{JOINER, needs_joiner};

/// A break that shows in a paragraph: two blanks before the line's end. A backslash would be in the way of editing.
const BREAK: &str = "  ";

/// Markdown that does nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct GitlabMarkdown(String);

impl GitlabMarkdown {
    /// Makes a text harmless. Its control characters but line breaks and tabs are gone already or go now.
    pub fn new(text: &str) -> Self {
        let text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
        let mut markdown = String::with_capacity(text.len() * 9 / 8);
        let mut lines = text.split('\n').peekable();
        while let Some(line) = lines.next() {
            guard_line(line, &mut markdown);
            let Some(next) = lines.peek() else { break };
            if !line.is_empty() && !next.is_empty() {
                markdown.push_str(BREAK);
            }
            markdown.push('\n');
        }
        Self(markdown)
    }

    /// The text as it was; what a person typed into it stays as they typed it.
    pub fn read_back(markdown: &str) -> String {
        let mut text = String::with_capacity(markdown.len());
        let mut lines = markdown.split('\n').peekable();
        while let Some(line) = lines.next() {
            let next = lines.peek();
            let breaks = !line.is_empty() && next.is_some_and(|next| !next.is_empty());
            let line = if breaks { line.strip_suffix(BREAK).unwrap_or(line) } else { line };
            free_line(line, &mut text);
            if next.is_some() {
                text.push('\n');
            }
        }
        text
    }
}

impl fmt::Display for GitlabMarkdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What means something to GitLab beyond plain Markdown, or could begin an image, a link, HTML, code or a quote.
const fn is_escaped(c: char) -> bool {
    matches!(c, '\\' | '`' | '[' | ']' | '<' | '>' | '&' | '~' | '^' | '{' | '}' | '|' | '/')
}

fn guard_line(line: &str, out: &mut String) {
    let text: Vec<char> = line.chars().collect();
    for (index, c) in text.iter().copied().enumerate() {
        // A slash acts only where a line begins with it; elsewhere addresses stay readable.
        if is_escaped(c) && (c != '/' || text[..index].iter().all(|before| before.is_whitespace())) {
            out.push('\\');
        }
        out.push(c);
        if needs_joiner(&text, index) {
            out.push(JOINER);
        }
    }
}

fn free_line(line: &str, out: &mut String) {
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match rest.peek() {
            // Other escapes are a person's own.
            Some(next) if c == '\\' && is_escaped(*next) => out.extend(rest.next()),
            _ => out.push(c),
        }
        rest.next_if_eq(&JOINER);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Wanted, whole_text_guard};
    use super::*;

    fn check(text: &str) {
        let markdown = GitlabMarkdown::new(text).to_string();
        assert_eq!(GitlabMarkdown::read_back(&markdown), text, "{markdown}");
        assert_eq!(whole_text_guard(&markdown, &Wanted::default()), Ok(()), "{markdown}");
    }

    #[test]
    fn a_letter_stays_a_letter() {
        let text = "Dear Clara,\n\nI bring **ten years** of Rust:\n\n- AWS\n- C++, 100 % remote\n\nKind regards,\nAnna";
        let shown = GitlabMarkdown::new(text).to_string();
        assert_eq!(shown, text.replace("- AWS\n", "- AWS  \n").replace("regards,\n", "regards,  \n"));
        check(text);
    }

    #[test]
    fn what_acts_is_broken() {
        for text in [
            "/close",
            "  /close\n/label ~x",
            ">>>\n/close\n>>>",
            "@all see #1, !2 and https://gitlab.example/a/b/-/issues/1",
            "![x](https://evil.example/x.png) [y](javascript:alert(1))",
            "<img src=x> &#64;all",
            "```\n/close\n```",
            "a\\\n\\@all\u{2060}",
            "#\n##1",
            "x  \n  y  \n",
        ] {
            check(text);
        }
    }

    #[test]
    fn a_persons_own_markdown_is_read_as_typed() {
        let typed = "see [my site](https://anna.example), 2 \\* 3, R & D, `code`";
        assert_eq!(GitlabMarkdown::read_back(typed), typed);
    }

    proptest! {
        #[test]
        fn any_text_comes_back_and_is_harmless(text in "[\\PC\n\t]*") {
            check(&text);
        }

        #[test]
        fn hostile_text_comes_back_and_is_harmless(text in "[-@#!/\\\\&;0-9a-f:*_\\[\\](){}w. \n\t\u{2060}>`~$%^|=+]{0,60}") {
            check(&text);
        }
    }
}
