//! What GitLab makes of a Markdown text: whom it mentions, what it refers to, what it loads.

use pulldown_cmark::{CodeBlockKind, CowStr, Event, LinkType, Options, Parser, Tag, TagEnd};

/// What a text would do where GitLab renders it, code left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Names after an `@`, without it.
    pub mentions: Vec<String>,
    /// References as written: `#1`, `!1`, `~label`, `%milestone`, `$1`, `&1`, `group/project#1`, and
    /// addresses that end in `/issues/N`, `/work_items/N`, `/merge_requests/N`.
    pub references: Vec<String>,
    /// Addresses of images.
    pub images: Vec<String>,
    /// Addresses of links, autolinked ones too.
    pub links: Vec<String>,
    /// Raw HTML, piece by piece.
    pub raw_html: Vec<String>,
}

/// Stands where markup splits a text: GitLab looks for mentions and references in each text node alone.
const BREAK: char = '\u{FFFC}';

fn gfm() -> Options {
    Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_FOOTNOTES
}

/// Computes what a Markdown text would do.
pub fn rendered_effects(text: &str) -> Effects {
    let mut effects = Effects::default();
    let mut visible = String::new();
    let mut in_code_block = false;
    let mut html_code = false;
    for (event, range) in Parser::new_ext(text, gfm()).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(_)) => in_code_block = true,
            Event::End(TagEnd::CodeBlock) => in_code_block = false,
            Event::Text(_) if in_code_block => {}
            Event::Text(piece) => {
                let escaped = range.start > 0
                    && text.as_bytes()[range.start - 1] == b'\\'
                    && piece.starts_with(|c: char| c.is_ascii_punctuation());
                if escaped {
                    // A backslash makes the character a text node of its own.
                    visible.push(BREAK);
                    visible.push_str(&piece[1..]);
                } else if !html_code {
                    visible.push_str(&piece);
                }
            }
            Event::Html(html) | Event::InlineHtml(html) => {
                effects.raw_html.push(html.to_string());
                html_code = read_html(&html, html_code, &mut visible, &mut effects);
            }
            Event::Start(Tag::Image { dest_url, .. }) => {
                effects.images.push(dest_url.to_string());
                visible.push(BREAK);
            }
            Event::Start(Tag::Link { dest_url, link_type, .. }) => {
                let address = match link_type {
                    LinkType::Email => format!("mailto:{dest_url}"),
                    _ => dest_url.to_string(),
                };
                note_address(&address, &mut effects);
                visible.push(BREAK);
            }
            Event::SoftBreak | Event::HardBreak => visible.push('\n'),
            _ => visible.push(BREAK),
        }
    }
    for node in visible.split(BREAK) {
        read_node(node, &mut effects);
    }
    effects
}

/// Reads raw HTML: images, links, and text outside tags. Answers whether it ends within code.
fn read_html(html: &str, mut in_code: bool, visible: &mut String, effects: &mut Effects) -> bool {
    visible.push(BREAK);
    let mut rest = html;
    while let Some(open) = rest.find('<') {
        if !in_code {
            visible.push_str(&decode_entities(&rest[..open]));
        }
        let after = &rest[open..];
        let close = if after.starts_with("<!--") {
            after.find("-->").map(|at| at + 3)
        } else {
            after.find('>').map(|at| at + 1)
        };
        let Some(close) = close else {
            rest = "";
            break;
        };
        let tag = &after[..close];
        let lower = tag.to_ascii_lowercase();
        if lower.starts_with("<code") || lower.starts_with("<pre") {
            in_code = true;
        } else if lower.starts_with("</code") || lower.starts_with("</pre") {
            in_code = false;
        }
        if let Some(source) = attribute(tag, "src") {
            effects.images.push(source);
        }
        if let Some(target) = attribute(tag, "href") {
            note_address(&target, effects);
        }
        visible.push(BREAK);
        rest = &after[close..];
    }
    if !in_code {
        visible.push_str(&decode_entities(rest));
    }
    in_code
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let at = tag.to_ascii_lowercase().find(&format!("{name}="))?;
    let value = &tag[at + name.len() + 1..];
    let value = match value.chars().next()? {
        quote @ ('"' | '\'') => value[1..].split(quote).next()?,
        _ => value.split([' ', '>']).next()?,
    };
    Some(decode_entities(value))
}

/// Decodes entities by letting the Markdown parser do it, which knows them all.
fn decode_entities(text: &str) -> String {
    let mut decoded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find(';').filter(|end| *end < 40);
        let Some(end) = end else {
            decoded.push('&');
            rest = &rest[1..];
            continue;
        };
        for event in Parser::new(&rest[..=end]) {
            if let Event::Text(piece) = event {
                decoded.push_str(&piece);
            }
        }
        rest = &rest[end + 1..];
    }
    decoded.push_str(rest);
    decoded
}

fn note_address(address: &str, effects: &mut Effects) {
    let path = address.split(['?', '#']).next().unwrap_or(address);
    let mut parts = path.trim_end_matches('/').rsplit('/');
    let number = parts.next().unwrap_or_default();
    let kind = parts.next().unwrap_or_default();
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    if is_number && matches!(kind, "issues" | "work_items" | "merge_requests") {
        effects.references.push(address.to_owned());
    }
    effects.links.push(address.to_owned());
}

/// Finds mentions, references and bare addresses in one text node.
fn read_node(node: &str, effects: &mut Effects) {
    let mut previous: Option<char> = None;
    let mut rest = node;
    while let Some(next) = rest.chars().next() {
        let starts_word = previous.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let mut length = next.len_utf8();
        if starts_word && let Some(address) = bare_address(rest) {
            length = address.len();
            let full =
                if address.starts_with("www.") { format!("http://{address}") } else { address.to_owned() };
            note_address(&full, effects);
        } else if next == '@' {
            if starts_word && let Some(name) = name_at(&rest[1..]) {
                length += name.len();
                effects.mentions.push(name.to_owned());
            }
        } else if let Some(reference) = reference_at(rest, next) {
            let path = path_before(&node[..node.len() - rest.len()]);
            if starts_word || !path.is_empty() {
                length = reference.len();
                effects.references.push(format!("{path}{reference}"));
            }
        }
        previous = rest[..length].chars().next_back();
        rest = &rest[length..];
    }
}

fn bare_address(text: &str) -> Option<&str> {
    let lower = text.get(..text.len().min(8)).unwrap_or(text).to_ascii_lowercase();
    if !["http://", "https://", "ftp://", "www."].iter().any(|start| lower.starts_with(start)) {
        return None;
    }
    let end = text.find(|c: char| c.is_whitespace() || c == '<').unwrap_or(text.len());
    let address = text[..end].trim_end_matches(['.', ',', ';', ':', '!', '?', '"', '\'', ')', '*', '_', '~']);
    let rest = address.split_once("//").map_or(address, |(_, rest)| rest);
    (rest.len() > 1 && (address.contains("//") || address.len() > 5)).then_some(address)
}

/// The longest name that a user or group could have at the start of `text`.
fn name_at(text: &str) -> Option<&str> {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')))
        .unwrap_or(text.len());
    let name = text[..end].trim_end_matches(['.', '-', '/']);
    name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_').then_some(name)
}

fn reference_at(text: &str, sigil: char) -> Option<&str> {
    let rest = text.get(1..)?;
    match sigil {
        '#' | '!' | '$' | '&' => {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let ends = rest[digits..].chars().next().is_none_or(|c| !c.is_alphanumeric() && c != '_');
            (digits > 0 && ends).then(|| &text[..=digits])
        }
        '~' | '%' if rest.starts_with('"') => {
            let close = rest[1..].find(['"', '\n'])?;
            (close > 0 && rest[1 + close..].starts_with('"')).then(|| &text[..close + 3])
        }
        '~' | '%' => {
            let end = rest
                .find(|c: char| {
                    !(c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | ':' | '.' | '&' | '?' | '+'))
                })
                .unwrap_or(rest.len());
            let name = rest[..end].trim_end_matches(['.', ':', '?']);
            (!name.is_empty()).then(|| &text[..=name.len()])
        }
        _ => None,
    }
}

/// `group/project` or `project` directly before a reference.
fn path_before(text: &str) -> &str {
    let start = text
        .rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')))
        .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    let path = &text[start..];
    if path.starts_with(|c: char| c.is_ascii_alphabetic()) && !path.ends_with(['/', '.', '-']) {
        path
    } else {
        ""
    }
}

/// Numbers of this project's issues that a text refers to.
pub(super) fn issue_references(text: &str, project: &str, base: &str) -> Vec<u64> {
    let own = format!("{base}/{project}/-/");
    let name = project.rsplit('/').next().unwrap_or(project);
    let mut found = Vec::new();
    for reference in rendered_effects(text).references {
        let number = if let Some(rest) = reference.strip_prefix(&own) {
            rest.split(['?', '#'])
                .next()
                .and_then(|path| path.strip_prefix("issues/").or(path.strip_prefix("work_items/")))
        } else {
            reference
                .rsplit_once('#')
                .filter(|(path, _)| path.is_empty() || *path == project || *path == name)
                .map(|(_, n)| n)
        };
        if let Some(iid) = number.and_then(|number| number.parse().ok())
            && !found.contains(&iid)
        {
            found.push(iid);
        }
    }
    found
}

/// Renders a text for our own pages: no image is loaded, and of raw HTML only folding survives.
pub(super) fn to_html(text: &str) -> String {
    let mut events = Vec::new();
    let mut closing: Vec<bool> = Vec::new();
    for event in Parser::new_ext(text, gfm()) {
        match event {
            Event::Html(html) => events.push(allowed_html(&html)),
            Event::InlineHtml(html) => events.push(allowed_html(&html)),
            Event::Start(Tag::Image { dest_url, title, id, link_type }) => {
                // The page loads nothing from other hosts; an image is shown as the link to it.
                let known = is_web_address(&dest_url);
                closing.push(known);
                if known {
                    events.push(Event::Start(Tag::Link { dest_url, title, id, link_type: plain(link_type) }));
                }
            }
            Event::Start(Tag::Link { dest_url, title, id, link_type }) => {
                let known = is_web_address(&dest_url) || link_type == LinkType::Email;
                closing.push(known);
                if known {
                    events.push(Event::Start(Tag::Link { dest_url, title, id, link_type }));
                }
            }
            Event::End(TagEnd::Image | TagEnd::Link) => {
                if closing.pop() == Some(true) {
                    events.push(Event::End(TagEnd::Link));
                }
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_))) => {
                events.push(Event::Start(Tag::CodeBlock(CodeBlockKind::Indented)));
            }
            other => events.push(other),
        }
    }
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, events.into_iter());
    html
}

fn plain(link_type: LinkType) -> LinkType {
    if link_type == LinkType::Email { LinkType::Inline } else { link_type }
}

fn is_web_address(address: &str) -> bool {
    let lower = address.trim_start().to_ascii_lowercase();
    ["http://", "https://", "mailto:"].iter().any(|scheme| lower.starts_with(scheme))
}

/// Lets `details` and `summary` without attributes through and drops comments; everything else is shown as text.
fn allowed_html(html: &str) -> Event<'static> {
    let mut kept = String::new();
    let mut rest = html;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("<!--") {
            rest = after.find("-->").map_or("", |at| &after[at + 3..]);
            continue;
        }
        let tag = ["<details>", "</details>", "<summary>", "</summary>", "<br>"]
            .into_iter()
            .find(|tag| rest.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag)));
        if let Some(tag) = tag {
            kept.push_str(tag);
            rest = &rest[tag.len()..];
            continue;
        }
        let Some(next) = rest.chars().next() else {
            break;
        };
        match next {
            '<' => kept.push_str("&lt;"),
            '>' => kept.push_str("&gt;"),
            '"' => kept.push_str("&quot;"),
            '&' => kept.push_str("&amp;"),
            other => kept.push(other),
        }
        rest = &rest[next.len_utf8()..];
    }
    Event::InlineHtml(CowStr::from(kept))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_page_loads_and_runs_nothing(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "<script>", "<img src=x onerror=y>", "![i](http://h/i.png)", "[l](javascript:x)", "<details>",
                    "<details open onclick=x>", "</details>", "<!--", "-->", "<", ">", "\n", "\n\n", "`", "```\n", "é",
                    "<summary>", "[", "]", "(", ")", "<http://h>", "<a@b.c>", "    ", "|", "-", "\"", "&lt;script&gt;",
                ]),
                0..20,
            )
        ) {
            let html = to_html(&pieces.concat());
            for tag in ["<script", "<img", "<details ", "<!--", "href=\"javascript"] {
                prop_assert!(!html.contains(tag), "{tag} in {html}");
            }
        }
    }

    #[test]
    fn references_name_this_projects_issues() {
        let text =
            "#1 acme/p#2 p#3 other/x#4 http://h/acme/p/-/issues/5#note_9 http://h/other/p/-/issues/6 `#7` #1";
        assert_eq!(issue_references(text, "acme/p", "http://h"), [1, 2, 3, 5]);
    }
}
