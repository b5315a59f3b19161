//! What the chat templates know of a notice, before a channel makes it inert and cuts it.

use jiff::SignedDuration;
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;

use crate::domain::{Language, numbers};
use crate::notify::{Notice, NoticeKind, NoticeMatch};

/// How long the parts of a match may become in a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// The title.
    pub title: usize,
    /// Company, location and the like.
    pub line: usize,
    /// One skill.
    pub skill: usize,
    /// How many skills are named of each list.
    pub skills: usize,
    /// The pipeline's words on why it fits; 0 leaves them out.
    pub summary: usize,
}

/// How a channel makes one line of foreign text harmless and cuts it.
pub(super) type Inert = fn(&str, usize) -> String;

/// A length of time in the largest unit of which it holds one: templates know the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Span {
    pub count: i64,
    pub unit: &'static str,
}

impl Span {
    pub(super) fn of(duration: SignedDuration) -> Self {
        let minutes = duration.as_mins().max(0);
        match minutes {
            0..60 => Self { count: minutes.max(1), unit: "minute" },
            60..1_440 => Self { count: minutes / 60, unit: "hour" },
            _ => Self { count: minutes / 1_440, unit: "day" },
        }
    }
}

/// The context of a template: of the matches only the first `shown`.
pub(super) fn context(notice: &Notice, shown: usize, sizes: Sizes, inert: Inert) -> Value {
    let matches = notice.matches.iter().take(shown);
    let matches: Vec<Value> =
        matches.map(|shown| match_context(shown, notice.language, sizes, inert)).collect();
    json!({
        // One new match with no room for it is told of like several.
        "kind": if kind(notice) == "match" && matches.is_empty() { "digest" } else { kind(notice) },
        "count": notice.matches.len(),
        "more": notice.matches.len() - matches.len(),
        "matches": matches,
        "since": match notice.kind { NoticeKind::Quiet { since } => Some(Span::of(since)), _ => None },
        "list_url": own_link(&notice.list_url),
        "inbox_url": notice.inbox_url.as_deref().and_then(own_link),
    })
}

/// A notice of one new match that holds none or several is a digest to the templates.
fn kind(notice: &Notice) -> &'static str {
    match notice.kind {
        NoticeKind::Match if notice.matches.len() == 1 => "match",
        NoticeKind::Match | NoticeKind::Digest => "digest",
        NoticeKind::Reminder => "reminder",
        NoticeKind::Quiet { .. } => "quiet",
        NoticeKind::Test => "test",
    }
}

fn match_context(shown: &NoticeMatch, language: Language, sizes: Sizes, inert: Inert) -> Value {
    let job = &shown.job;
    let line = |text: &Option<String>| {
        text.as_deref().map(|text| inert(text, sizes.line)).filter(|text| !text.is_empty())
    };
    let skills = |skills: &[String]| -> Vec<String> {
        let inert = skills.iter().map(|skill| inert(skill, sizes.skill));
        inert.filter(|skill| !skill.is_empty()).take(sizes.skills).collect()
    };
    let date = language.pick("%d.%m.%Y", "%Y-%m-%d");
    let title = Some(inert(&job.title, sizes.title)).filter(|title| !title.is_empty());
    json!({
        "iid": shown.iid,
        "url": own_link(&shown.web_url),
        "approve_url": shown.approve_url.as_deref().and_then(own_link),
        "reject_url": shown.reject_url.as_deref().and_then(own_link),
        "title": title.unwrap_or_else(|| "–".to_owned()),
        "score": job.score.map(|score| score.whole_percent()),
        "who": line(&job.company).or_else(|| line(&job.agency)),
        "company": line(&job.company),
        "agency": line(&job.agency),
        "end_client": line(&job.end_client),
        "location": line(&job.location),
        "remote": job.remote.as_ref().and_then(|remote| line(&Some(numbers::remote(remote, language)))),
        "rate": job.rate.as_ref().and_then(|rate| line(&Some(numbers::rate(rate, language)))),
        "start": line(&job.start),
        "duration": line(&job.duration),
        "deadline": job.deadline.map(|deadline| deadline.strftime(date).to_string()),
        "matched": skills(&job.skills.matched),
        "matched_more": job.skills.matched.len().saturating_sub(sizes.skills),
        "missing": skills(&job.skills.missing),
        "missing_more": job.skills.missing.len().saturating_sub(sizes.skills),
        "summary": job.summary.as_deref().map(|summary| inert(summary, sizes.summary)).filter(|s| !s.is_empty()),
        "possible_duplicates": shown.possible_duplicates.iter().take(5).collect::<Vec<_>>(),
        "waiting": Span::of(shown.waiting),
    })
}

/// An address of our own as it may stand in a message: http(s), and without what ends an address in Slack's `<…|…>` or in
/// running text. None where it is no such address or longer than Slack takes (3,000).
pub(super) fn own_link(text: &str) -> Option<String> {
    let url = Url::parse(text.trim()).ok()?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return None;
    }
    let link = url.as_str().chars().fold(String::new(), |mut link, c| {
        match c {
            '<' | '>' | '|' | '"' | '*' | '`' | '~' | '[' | ']' | '(' | ')' => {
                link.push_str(&format!("%{:02X}", u32::from(c)))
            }
            c => link.push(c),
        }
        link
    });
    (link.len() <= 3_000).then_some(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_said_in_its_largest_unit() {
        let span = |minutes| Span::of(SignedDuration::from_mins(minutes));
        assert_eq!(span(-5), Span { count: 1, unit: "minute" });
        assert_eq!(span(59), Span { count: 59, unit: "minute" });
        assert_eq!(span(60), Span { count: 1, unit: "hour" });
        assert_eq!(span(2_879), Span { count: 1, unit: "day" });
        assert_eq!(span(4_320), Span { count: 3, unit: "day" });
    }

    #[test]
    fn only_http_addresses_are_links() {
        assert_eq!(own_link("https://a.example/x y|z>"), Some("https://a.example/x%20y%7Cz%3E".to_owned()));
        for wrong in [
            "javascript:alert(1)",
            "mailto:a@b.at",
            "",
            "/x",
            &format!("https://a.example/{}", "x".repeat(3_000)),
        ] {
            assert_eq!(own_link(wrong), None, "{wrong}");
        }
    }
}
