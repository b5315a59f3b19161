//! A draft as a mail: Markdown becomes plain text and HTML, paths become attachments.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html};

use crate::channels::mime::File;

/// Content types by the ending of a file's name, for what people attach to applications.
const CONTENT_TYPES: [(&str, &str); 10] = [
    ("pdf", "application/pdf"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("rtf", "application/rtf"),
    ("txt", "text/plain; charset=utf-8"),
    ("md", "text/markdown; charset=utf-8"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("zip", "application/zip"),
];

/// Lists inside lists are set in so often and no further.
const DEEPEST: usize = 8;

/// The file that a path names.
pub(super) fn attachment(path: &str, content: Vec<u8>) -> File {
    let name = path.rsplit('/').next().unwrap_or(path).to_owned();
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    let known = CONTENT_TYPES.iter().find(|(known, _)| *known == ending);
    let content_type = known.map_or("application/octet-stream", |(_, content_type)| content_type);
    File { name, content_type: content_type.to_owned(), content }
}

/// The letter's events: HTML is text, links lead to http(s) or mailto only, pictures are their words, and a line's end is
/// one, as people mean it in a mail.
fn events(markdown: &str) -> impl Iterator<Item = Event<'_>> {
    let parser = Parser::new_ext(markdown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH);
    // Of each link that is open, whether it is kept.
    let mut links: Vec<bool> = Vec::new();
    parser.filter_map(move |event| match event {
        Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
        Event::SoftBreak => Some(Event::HardBreak),
        // As text it is a paragraph.
        Event::Start(Tag::HtmlBlock) => Some(Event::Start(Tag::Paragraph)),
        Event::End(TagEnd::HtmlBlock) => Some(Event::End(TagEnd::Paragraph)),
        Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => None,
        Event::Start(Tag::Link { ref dest_url, .. }) => {
            let lower = dest_url.to_ascii_lowercase();
            let kept = ["https://", "http://", "mailto:"].iter().any(|scheme| lower.starts_with(scheme));
            links.push(kept);
            kept.then_some(event)
        }
        Event::End(TagEnd::Link) => links.pop().unwrap_or(false).then_some(event),
        other => Some(other),
    })
}

/// The letter as HTML, without a page around it.
pub(super) fn as_html(markdown: &str) -> String {
    let mut out = String::with_capacity(markdown.len() * 5 / 4);
    html::push_html(&mut out, events(markdown));
    out
}

/// The letter as plain text: no marks of emphasis, a link's address behind its words.
pub(super) fn as_text(markdown: &str) -> String {
    let mut text = Plain::default();
    for event in events(markdown) {
        text.take(event);
    }
    text.out.trim().to_owned() + "\n"
}

#[derive(Default)]
struct Plain {
    out: String,
    /// The next number of each list that is open; none for one without numbers.
    lists: Vec<Option<u64>>,
    link: Option<(String, usize)>,
}

impl Plain {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Text(text) | Event::Code(text) => self.out.push_str(&text),
            Event::HardBreak => {
                let indent = "  ".repeat(self.lists.len().min(DEEPEST));
                self.out.push_str(&format!("\n{indent}"));
            }
            Event::Rule => self.apart("--"),
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph if !self.out.ends_with("- ") && !self.out.ends_with(". ") => self.apart(""),
            Tag::Heading { .. } | Tag::CodeBlock(_) | Tag::BlockQuote(_) | Tag::Table(_) => self.apart(""),
            Tag::List(first) => {
                if self.lists.is_empty() {
                    self.apart("");
                }
                self.lists.push(first);
            }
            Tag::Item => {
                let indent = "  ".repeat(self.lists.len().saturating_sub(1).min(DEEPEST));
                let mark = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}. ", *number - 1)
                    }
                    _ => "- ".to_owned(),
                };
                self.line_begins();
                self.out.push_str(&format!("{indent}{mark}"));
            }
            Tag::TableHead | Tag::TableRow => self.line_begins(),
            Tag::Link { dest_url, .. } => self.link = Some((dest_url.into_string(), self.out.len())),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::List(_) => {
                self.lists.pop();
            }
            TagEnd::TableCell => self.out.push_str("  "),
            TagEnd::Link => {
                if let Some((address, begin)) = self.link.take() {
                    let shown = self.out.get(begin..).unwrap_or_default();
                    let plain = address.trim_start_matches("mailto:");
                    if shown != address && shown != plain {
                        self.out.push_str(&format!(" ({plain})"));
                    }
                }
            }
            _ => {}
        }
    }

    fn line_begins(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }

    /// An empty line, and what stands alone behind it.
    fn apart(&mut self, alone: &str) {
        self.line_begins();
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
        self.out.push_str(alone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LETTER: &str = "Dear **Clara**,\n\nsee [my site](https://anna.example):\n\n- Rust\n- AWS\n\n1. one\n2. two\n\n\
                          Kind regards,\nAnna";

    #[test]
    fn plain_text_reads_as_people_write_mails() {
        assert_eq!(
            as_text(LETTER),
            "Dear Clara,\n\nsee my site (https://anna.example):\n\n- Rust\n- AWS\n\n1. one\n2. two\n\nKind regards,\nAnna\n"
        );
    }

    #[test]
    fn what_looks_like_html_keeps_its_paragraph() {
        let letter = "Dear Clara,\n\n<Projekt X>\n\nHello,\n\n- <Y>\n- Z\n";
        assert_eq!(as_text(letter), "Dear Clara,\n\n<Projekt X>\n\nHello,\n\n- <Y>\n- Z\n");
        let html = as_html(letter);
        assert!(html.contains("<p>Dear Clara,</p>\n<p>&lt;Projekt X&gt;\n</p>\n<p>Hello,</p>"), "{html}");
    }

    #[test]
    fn lists_within_lists_take_no_room_without_end() {
        let deep = as_text(&"+ ".repeat(20_000));
        assert!(deep.len() < 20_000 * 30, "{}", deep.len());
    }

    #[test]
    fn html_is_what_markdown_says_and_nothing_else() {
        let html = as_html(LETTER);
        assert!(html.contains("<strong>Clara</strong>") && html.contains("regards,<br />"), "{html}");
        let hostile = as_html(
            "<script>alert(1)</script>\n\n<img src=x onerror=y> ![see](https://evil.example/x.png) [a](javascript:b) [c](data:d)",
        );
        for part in ["<script", "<img", "javascript:", "data:", "evil.example"] {
            assert!(!hostile.contains(part), "{part} in {hostile}");
        }
    }
}
