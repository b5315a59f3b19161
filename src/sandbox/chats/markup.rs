//! What Slack and WhatsApp make of a text, as HTML that is safe whatever the text holds.

/// Whose markup a text is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Markup {
    /// Slack's `mrkdwn`: entities, and links in angle brackets. Where it is not verbatim, addresses become links too.
    Slack {
        /// Whether addresses are left as they are.
        verbatim: bool,
    },
    /// WhatsApp's: no entities, addresses become links.
    WhatsApp,
}

/// The marks of emphasis and what they become.
const MARKS: [(char, &str); 3] = [('*', "strong"), ('_', "em"), ('~', "s")];

/// A text as HTML.
pub(in super::super) fn to_html(text: &str, markup: Markup) -> String {
    let mut html = String::with_capacity(text.len() * 5 / 4);
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            html.push_str("<br>");
        }
        let line: Vec<char> = line.trim_end_matches('\r').chars().collect();
        push(&line, markup, &mut html);
    }
    html
}

/// One line, or what stands between two marks.
fn push(line: &[char], markup: Markup, html: &mut String) {
    let mut at = 0;
    while let Some(&c) = line.get(at) {
        if c == '<' && markup != Markup::WhatsApp {
            if let Some(end) = position(line, at + 1, '>') {
                push_angle(&line[at + 1..end], markup, html);
                at = end + 1;
                continue;
            }
        } else if let Some(end) = emphasis(line, at) {
            let inner = &line[at + 1..end];
            if c == '`' {
                html.push_str("<code>");
                push_text(&inner.iter().collect::<String>(), markup, html);
                html.push_str("</code>");
            } else if let Some((_, tag)) = MARKS.iter().find(|(mark, _)| *mark == c) {
                html.push_str(&format!("<{tag}>"));
                push(inner, markup, html);
                html.push_str(&format!("</{tag}>"));
            }
            at = end + 1;
            continue;
        } else if let Some(end) = address(line, at, markup) {
            let link: String = line[at..end].iter().collect();
            push_link(&link, &link, markup, html);
            at = end;
            continue;
        }
        // A run of other characters at once, so that entities stay whole.
        let next = (at + 1..line.len()).find(|next| is_special(line, *next, markup)).unwrap_or(line.len());
        push_text(&line[at..next].iter().collect::<String>(), markup, html);
        at = next;
    }
}

fn is_special(line: &[char], at: usize, markup: Markup) -> bool {
    matches!(line[at], '<' | '*' | '_' | '~' | '`') || address(line, at, markup).is_some()
}

/// Where the mark at `at` is closed: both stand at the edge of words, with something between them.
fn emphasis(line: &[char], at: usize) -> Option<usize> {
    let mark = line[at];
    let is_mark = mark == '`' || MARKS.iter().any(|(known, _)| *known == mark);
    let before = at.checked_sub(1).and_then(|before| line.get(before));
    let next = line.get(at + 1)?;
    if !is_mark || before.is_some_and(|c| c.is_alphanumeric()) || next.is_whitespace() || *next == mark {
        return None;
    }
    let mut end = at + 1;
    loop {
        end = position(line, end + 1, mark)?;
        let after = line.get(end + 1);
        if !line[end - 1].is_whitespace() && after.is_none_or(|c| !c.is_alphanumeric()) {
            return Some(end);
        }
    }
}

/// Where an address that begins at `at` ends; none where none begins, or where none is made a link.
fn address(line: &[char], at: usize, markup: Markup) -> Option<usize> {
    if markup == (Markup::Slack { verbatim: true }) {
        return None;
    }
    let begins = |scheme: &str| {
        scheme.chars().enumerate().all(|(offset, c)| line.get(at + offset).is_some_and(|there| *there == c))
    };
    if !begins("https://") && !begins("http://") {
        return None;
    }
    let ends = |c: &char| c.is_whitespace() || matches!(c, '<' | '>' | '"');
    let end = line[at..].iter().position(ends).map_or(line.len(), |length| at + length);
    // A point or bracket behind an address belongs to the sentence.
    let trailing =
        line[at..end].iter().rev().take_while(|c| matches!(c, '.' | ',' | ')' | ';' | '*' | '_')).count();
    Some(end - trailing)
}

/// What stands in angle brackets: a link with words or without, or a mention.
fn push_angle(inner: &[char], markup: Markup, html: &mut String) {
    let inner: String = inner.iter().collect();
    let (target, words) = inner.split_once('|').unwrap_or((&inner, &inner));
    match target.chars().next() {
        Some(kind @ ('@' | '#' | '!')) => {
            let shown = if words == inner { target } else { words };
            let shown = shown.trim_start_matches(kind);
            html.push_str("<span class=\"mention\">");
            push_text(&format!("{}{shown}", if kind == '#' { '#' } else { '@' }), markup, html);
            html.push_str("</span>");
        }
        _ => push_link(target, words, markup, html),
    }
}

fn push_link(target: &str, words: &str, markup: Markup, html: &mut String) {
    let target = plain(target, markup);
    let leads = ["https://", "http://", "mailto:"].iter().any(|scheme| target.starts_with(scheme));
    if leads {
        html.push_str(&format!("<a rel=\"noreferrer\" href=\"{}\">", escaped(&target)));
    }
    push_text(words, markup, html);
    if leads {
        html.push_str("</a>");
    }
}

fn push_text(text: &str, markup: Markup, html: &mut String) {
    html.push_str(&escaped(&plain(text, markup)));
}

/// What a text means: Slack's three entities are characters.
fn plain(text: &str, markup: Markup) -> String {
    match markup {
        Markup::WhatsApp => text.to_owned(),
        Markup::Slack { .. } => text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"),
    }
}

/// A text as HTML, nothing in it read.
pub(in super::super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn position(line: &[char], from: usize, wanted: char) -> Option<usize> {
    line.get(from..)?.iter().position(|c| *c == wanted).map(|offset| from + offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLACK: Markup = Markup::Slack { verbatim: true };

    #[test]
    fn slack_reads_marks_links_and_entities() {
        assert_eq!(
            to_html(
                "*<https://a.example/?x=1&amp;y=2|R&amp;D &lt;Wien&gt;>* – _soon_ `a*b*`\n2 * 3 * 4",
                SLACK
            ),
            "<strong><a rel=\"noreferrer\" href=\"https://a.example/?x=1&amp;y=2\">R&amp;D &lt;Wien&gt;</a></strong> – \
             <em>soon</em> <code>a*b*</code><br>2 * 3 * 4"
        );
        assert_eq!(
            to_html("<!here> <#C1|jobs>", SLACK),
            "<span class=\"mention\">@here</span> <span class=\"mention\">#jobs</span>"
        );
        assert_eq!(to_html("see https://a.example.", SLACK), "see https://a.example.");
        assert_eq!(
            to_html("see https://a.example.", Markup::Slack { verbatim: false }),
            "see <a rel=\"noreferrer\" href=\"https://a.example\">https://a.example</a>."
        );
    }

    #[test]
    fn whatsapp_reads_marks_and_addresses() {
        assert_eq!(
            to_html("*97 %* a_b_c ~no~ &amp;\nhttps://a.example/x?y=1&z=2", Markup::WhatsApp),
            "<strong>97 %</strong> a_b_c <s>no</s> &amp;amp;<br>\
             <a rel=\"noreferrer\" href=\"https://a.example/x?y=1&amp;z=2\">https://a.example/x?y=1&amp;z=2</a>"
        );
    }

    #[test]
    fn nothing_gets_through() {
        for markup in [SLACK, Markup::Slack { verbatim: false }, Markup::WhatsApp] {
            let html = to_html(
                "<script>alert(1)</script> <javascript:alert(1)|go> <https://x\" onclick=\"y|z> *<b>* &lt;img src=x&gt; \
                 https://x.example/\"onclick=y",
                markup,
            );
            for part in ["<script", "href=\"javascript", "\" onclick=\"", "<b>", "<img", "/\"onclick"] {
                assert!(!html.contains(part), "{part} in {html}");
            }
        }
    }
}
