//! A stranger's text as HTML that does nothing: paragraphs, lists, emphasis and links, and not one element more.

use pulldown_cmark::{CodeBlockKind, CowStr, Event, LinkType, Parser, Tag, TagEnd};
use serde::Serialize;

/// HTML that may stand in a page as it is. Only [`Prose::of`] makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(in crate::web) struct Prose {
    html: String,
    /// Whether the text goes on.
    cut: bool,
}

impl Prose {
    /// The first `limit` characters of a text, read as Markdown: most advertisements are plain text with lists, some are
    /// Markdown, and both read well that way.
    pub(in crate::web) fn of(text: &str, limit: usize) -> Self {
        let end = text.char_indices().nth(limit).map(|(at, _)| at);
        let text = &text[..end.unwrap_or(text.len())];
        let mut html = String::with_capacity(text.len() + text.len() / 8);
        pulldown_cmark::html::push_html(&mut html, harmless(text));
        Self { html, cut: end.is_some() }
    }
}

fn harmless(text: &str) -> impl Iterator<Item = Event<'_>> {
    // For every link that is open, whether it is kept.
    let mut links: Vec<bool> = Vec::new();
    Parser::new(text).flat_map(move |event| {
        let kept = match event {
            // Markup of theirs is shown, not run.
            Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
            Event::Start(Tag::HtmlBlock) => Some(Event::Start(Tag::Paragraph)),
            Event::End(TagEnd::HtmlBlock) => Some(Event::End(TagEnd::Paragraph)),
            Event::Start(Tag::Link { link_type, dest_url, title: _, id: _ }) => {
                let email = link_type == LinkType::Email;
                let keep = email || leads_out(&dest_url);
                links.push(keep);
                let none = || CowStr::Borrowed("");
                keep.then(|| Event::Start(Tag::Link { link_type, dest_url, title: none(), id: none() }))
            }
            Event::End(TagEnd::Link) => links.pop().unwrap_or_default().then_some(Event::End(TagEnd::Link)),
            // Nothing is loaded: what an image was to say instead is said.
            Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => None,
            // Headings of theirs are none of the page's.
            Event::Start(Tag::Heading { .. }) => {
                return vec![Event::Start(Tag::Paragraph), Event::Start(Tag::Strong)];
            }
            Event::End(TagEnd::Heading(_)) => {
                return vec![Event::End(TagEnd::Strong), Event::End(TagEnd::Paragraph)];
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_))) => {
                Some(Event::Start(Tag::CodeBlock(CodeBlockKind::Indented)))
            }
            // Who writes plain text means a new line by a new line.
            Event::SoftBreak => Some(Event::HardBreak),
            other => Some(other),
        };
        kept.into_iter().collect()
    })
}

fn leads_out(address: &str) -> bool {
    let address = address.trim_start().to_ascii_lowercase();
    ["https://", "http://", "mailto:"].iter().any(|scheme| address.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn html(text: &str) -> String {
        Prose::of(text, 10_000).html
    }

    #[test]
    fn paragraphs_lists_and_lines_stay() {
        assert_eq!(
            html("Wir suchen:\n\n- Rust\n- AWS\n\n# Profil\nerste Zeile\nzweite"),
            "<p>Wir suchen:</p>\n<ul>\n<li>Rust</li>\n<li>AWS</li>\n</ul>\n<p><strong>Profil</strong></p>\n\
             <p>erste Zeile<br />\nzweite</p>\n"
        );
        assert_eq!(Prose::of("Grüße", 3), Prose { html: "<p>Grü</p>\n".to_owned(), cut: true });
    }

    #[test]
    fn what_strangers_write_does_nothing() {
        let text = "<script>alert(1)</script>\n\n<b onclick=x>fett</b> ![Bild](https://h/i.png) [a](javascript:x) \
                    [b](https://h \"t\" ) [c](/logout) <https://h/\"onclick=>\n\n```\" onx=\"\ncode\n```";
        let html = html(text);
        for harm in ["<script", "<b ", "<img", "javascript:", "href=\"/", "onx=\"", "class="] {
            assert!(!html.contains(harm), "{harm} in {html}");
        }
        assert!(
            html.contains("&lt;script&gt;alert(1)")
                && html.contains("Bild")
                && html.contains(r#"<a href="https://h">b"#),
            "{html}"
        );
    }

    proptest! {
        #[test]
        fn only_a_few_elements_and_one_attribute_ever(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "<script>", "<img src=x onerror=y>", "![i](http://h/i.png)", "[l](javascript:x)", "<details>",
                    "</p>", "<!--", "-->", "<", ">", "\n", "\n\n", "`", "```x\n", "é", "# ", "---\n", "> ", "- ", "1. ",
                    "[", "]", "(", ")", "<http://h>", "<a@b.c>", "    ", "|", "\"", "&lt;script&gt;", "[x]: data:x\n",
                ]),
                0..24,
            )
        ) {
            let html = html(&pieces.concat());
            for tag in html.split('<').skip(1) {
                let tag = tag.split('>').next().unwrap();
                let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
                let known = ["p", "br", "ul", "ol", "li", "em", "strong", "a", "code", "pre", "blockquote", "hr"];
                prop_assert!(known.contains(&name), "<{tag}> in {html}");
                let plain = !tag.contains('=') || tag.starts_with("ol start=\"") || tag.starts_with("a href=\"http")
                    || tag.starts_with("a href=\"mailto:");
                prop_assert!(plain && tag.matches('=').count() <= 1, "<{tag}> in {html}");
            }
        }
    }
}
