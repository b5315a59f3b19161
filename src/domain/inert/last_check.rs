//! The last check of a whole text before it goes into GitLab: a template that somebody changed may have moved safe text
//! into an unsafe place.

use pulldown_cmark::{Event, LinkType, Options, Parser, Tag};

/// What a text may hold although foreign text must not.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Usernames that may be mentioned.
    pub mentions: Vec<String>,
    /// Issues of the project that may be referred to.
    pub references: Vec<u64>,
}

/// What was found where it must not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Danger {
    /// A line that GitLab could take for a quick action.
    #[error("a line begins with a slash: {0}")]
    QuickAction(String),
    /// A multi-line quote, which changes how GitLab reads everything behind it.
    #[error("a line begins with >>>")]
    Quote,
    /// A mention of somebody.
    #[error("a mention: {0}")]
    Mention(String),
    /// A reference to an issue, merge request, label, …
    #[error("a reference: {0}")]
    Reference(String),
    /// An image, which would be loaded from a stranger's server.
    #[error("an image: {0}")]
    Image(String),
    /// A link to something else than http(s) or mailto.
    #[error("a link: {0}")]
    Link(String),
    /// HTML that our templates do not use.
    #[error("HTML: {0}")]
    Html(String),
}

/// HTML that our templates use.
const HTML: [&str; 8] =
    ["<details>", "</details>", "<summary>", "</summary>", "<br>", "<sub>", "</sub>", "<!--"];

/// Checks a whole description or comment.
///
/// # Errors
///
/// The first danger found.
pub fn whole_text_guard(text: &str, wanted: &Wanted) -> Result<(), Danger> {
    // GitLab deletes every CR before it looks for quick actions.
    for line in text.replace('\r', "").split('\n') {
        if line.starts_with('/') {
            return Err(Danger::QuickAction(excerpt(line)));
        }
        if line.trim_start().starts_with(">>>") {
            return Err(Danger::Quote);
        }
    }
    let mut inside_code = false;
    // Text is split at escapes and HTML at line ends; what counts is what they make together.
    let (mut run, mut html) = (String::new(), String::new());
    for event in
        Parser::new_ext(text, Options::ENABLE_GFM | Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES)
    {
        if let Event::Text(piece) = &event {
            if !inside_code {
                run.push_str(piece);
            }
            continue;
        }
        check_text(&std::mem::take(&mut run), wanted)?;
        if let Event::Html(piece) | Event::InlineHtml(piece) = &event {
            html.push_str(piece);
            continue;
        }
        check_html(&std::mem::take(&mut html), wanted)?;
        match event {
            Event::Start(Tag::CodeBlock(_)) => inside_code = true,
            Event::End(pulldown_cmark::TagEnd::CodeBlock) => inside_code = false,
            Event::Start(Tag::Image { dest_url, .. }) => return Err(Danger::Image(excerpt(&dest_url))),
            Event::Start(Tag::Link { dest_url, link_type, .. }) => check_link(&dest_url, link_type)?,
            _ => {}
        }
    }
    check_html(&html, wanted)?;
    check_text(&run, wanted)
}

fn check_link(target: &str, kind: LinkType) -> Result<(), Danger> {
    let lower = target.to_ascii_lowercase();
    let is_allowed = ["http://", "https://", "mailto:"].iter().any(|scheme| lower.starts_with(scheme));
    if is_allowed || kind == LinkType::Email { Ok(()) } else { Err(Danger::Link(excerpt(target))) }
}

fn check_html(html: &str, wanted: &Wanted) -> Result<(), Danger> {
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        check_text(&rest[..at], wanted)?;
        rest = &rest[at..];
        let Some(tag) = HTML.iter().find(|tag| rest.starts_with(**tag)) else {
            return Err(Danger::Html(excerpt(rest)));
        };
        rest = match (*tag, rest.find("-->")) {
            ("<!--", Some(end)) => &rest[end + 3..],
            ("<!--", None) => return Err(Danger::Html(excerpt(rest))),
            _ => &rest[tag.len()..],
        };
    }
    check_text(rest, wanted)
}

/// Looks for what GitLab finds in rendered text.
fn check_text(text: &str, wanted: &Wanted) -> Result<(), Danger> {
    for (at, sigil) in text.char_indices() {
        let rest = &text[at + sigil.len_utf8()..];
        // Only where a sigil asks for it: a text without blanks would be walked through from each of its letters.
        let word =
            || rest.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.')).take(256);
        let begins = |test: fn(char) -> bool| rest.chars().next().is_some_and(test);
        match sigil {
            '@' if begins(|c| c.is_alphanumeric() || c == '_') => {
                let name: String = word().collect();
                let name = name.trim_end_matches('.');
                if !wanted.mentions.iter().any(|mention| mention == name) {
                    return Err(Danger::Mention(excerpt(&text[at..])));
                }
            }
            '#' if begins(|c| c.is_ascii_digit()) => {
                let digits: String = word().take_while(char::is_ascii_digit).collect();
                // Behind a word it would be another project's issue.
                let alone = !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
                if !alone || !digits.parse().is_ok_and(|iid| wanted.references.contains(&iid)) {
                    return Err(Danger::Reference(excerpt(&text[at..])));
                }
            }
            '!' | '$' | '&' if begins(|c| c.is_ascii_digit()) => {
                return Err(Danger::Reference(excerpt(&text[at..])));
            }
            '~' | '%' if begins(|c| c.is_alphanumeric() || c == '"') => {
                return Err(Danger::Reference(excerpt(&text[at..])));
            }
            ':' if rest.starts_with("//") && text[..at].ends_with(['p', 's', 'P', 'S']) => {
                return Err(Danger::Reference(excerpt(&text[at..])));
            }
            _ => {}
        }
    }
    Ok(())
}

fn excerpt(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(text: &str) -> Result<(), Danger> {
        whole_text_guard(text, &Wanted { mentions: vec!["anna".into()], references: vec![12] })
    }

    #[test]
    fn what_the_templates_want_passes() {
        let text = "| A | [x](https://a.example/1) |\n|---|---|\n\nSee #12, @anna.\n\n<details><summary>x</summary>\n\n\
                    ```json\n{\"a\": \"@all #1\"}\n```\n\n</details>\n<!-- vorhoelle {} -->\n";
        assert_eq!(guard(text), Ok(()));
    }

    /// It would take minutes if any part walked the rest of the text from each letter.
    #[test]
    fn long_texts_without_a_blank_are_checked_in_one_walk() {
        for piece in ["x", "@\u{2060}", "ü", ":a", "1"] {
            assert_eq!(guard(&piece.repeat(400_000)), Ok(()), "{piece}");
        }
    }

    #[test]
    fn each_danger_is_found() {
        for dangerous in [
            "x\n/close",
            "x\r\n\r/close",
            "a\n>>>\nb",
            " >>> [!note]",
            "hi @eve",
            "hi \\@all",
            "&#64;all",
            "#13",
            "\\#7",
            "!3",
            "~bug",
            "%\"1.0\"",
            "$7",
            "![x](https://a.example/x.png)",
            "[x](javascript:alert(1))",
            "<img src=x>",
            "a <b>x</b>",
            "https://gitlab.example/a/b/-/issues/1",
            "<!-- open",
            "g/p#12",
            "<summary>@all</summary>",
            "<details>\n@all",
            "<details>\n#7\n</details>",
        ] {
            assert!(guard(dangerous).is_err(), "{dangerous}");
        }
    }
}
