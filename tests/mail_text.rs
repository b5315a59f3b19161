//! What people read in a mail, as reviewed snapshots; and what a stranger's advertisement cannot do there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};
use vorhoelle::domain::{JobMatch, Language, posted_match};
use vorhoelle::notify::render::{MailText, mail};
use vorhoelle::notify::{Notice, NoticeKind, NoticeMatch};
use vorhoelle::templates::Templates;

fn told(iid: u64, job: JobMatch) -> NoticeMatch {
    NoticeMatch {
        iid,
        web_url: format!("https://gitlab.example/acme/jobs/-/issues/{iid}"),
        job,
        possible_duplicates: if iid == 1 { vec![3] } else { Vec::new() },
        waiting: SignedDuration::from_hours(55),
        approve_url: (iid == 1).then(|| "https://jobs.example/a/approve-token".to_owned()),
        reject_url: (iid == 1).then(|| "https://jobs.example/a/reject-token".to_owned()),
    }
}

/// The demo's matches, the first `count` of them.
fn matches(count: usize) -> Vec<NoticeMatch> {
    let all: Vec<Value> = serde_json::from_str(include_str!("../config/demo-matches.json")).unwrap();
    (1..).zip(all).take(count).map(|(iid, job)| told(iid, posted_match::parse(job).unwrap())).collect()
}

fn render(kind: NoticeKind, language: Language, matches: Vec<NoticeMatch>) -> MailText {
    let notice = Notice {
        kind,
        language,
        matches,
        list_url: "https://gitlab.example/acme/jobs/-/issues?label_name%5B%5D=job-match%2Fpending".to_owned(),
        inbox_url: Some("https://jobs.example/".to_owned()),
    };
    mail(&Templates::load(None).unwrap(), &Arc::new(notice)).unwrap()
}

fn plain(mail: &MailText) -> String {
    format!("Subject: {}\n\n{}", mail.subject, mail.text)
}

#[test]
fn a_match() {
    let german = render(NoticeKind::Match, Language::De, matches(1));
    insta::assert_snapshot!("match_de", plain(&german));
    insta::assert_snapshot!("match_de_html", german.html);
    insta::assert_snapshot!("match_en", plain(&render(NoticeKind::Match, Language::En, matches(1))));
}

#[test]
fn a_digest() {
    let german = render(NoticeKind::Digest, Language::De, matches(3));
    insta::assert_snapshot!("digest_de", plain(&german));
    let english = render(NoticeKind::Digest, Language::En, matches(3));
    insta::assert_snapshot!("digest_en", plain(&english));
    insta::assert_snapshot!("digest_en_html", english.html);
}

#[test]
fn reminders_alarms_and_tests() {
    let since = SignedDuration::from_hours(80);
    let mut all = String::new();
    for language in [Language::De, Language::En] {
        for (kind, count) in [
            (NoticeKind::Reminder, 1),
            (NoticeKind::Reminder, 2),
            (NoticeKind::Quiet { since }, 0),
            (NoticeKind::Test, 0),
        ] {
            all.push_str(&plain(&render(kind, language, matches(count))));
            all.push_str("=====\n");
        }
    }
    insta::assert_snapshot!("others", all);
}

#[test]
fn less_than_a_day_is_said_in_hours() {
    for (hours, english, german) in [
        (1, "No new match for an hour", "Seit einer Stunde kam kein neuer Treffer"),
        (6, "No new match for 6 hours", "Seit 6 Stunden kam kein neuer Treffer"),
        (25, "No new match for a day", "Seit einem Tag kam kein neuer Treffer"),
    ] {
        let since = SignedDuration::from_hours(hours);
        for (language, subject) in [(Language::En, english), (Language::De, german)] {
            assert_eq!(render(NoticeKind::Quiet { since }, language, Vec::new()).subject, subject);
        }
    }
}

#[test]
fn a_strangers_text_stays_text() {
    let job = posted_match::parse(json!({
        "title": "<script>alert(1)</script>\r\nBcc: all@example.com", "score": 90,
        "company": "\"><img src=x onerror=alert(1)>", "summary": "{{ 7*7 }} <a href='javascript:x'>x</a>",
        "url": "https://example.com/?a=\"><script>", "skills": {"matched": ["<b>Rust</b>"]},
    }))
    .unwrap();
    let mail = render(NoticeKind::Match, Language::En, vec![told(2, job)]);
    assert!(!mail.subject.contains(['\r', '\n']), "{}", mail.subject);
    for part in ["<script", "<img", "<a href='java", "<b>Rust", "49"] {
        assert!(!mail.html.contains(part), "{part} in {}", mail.html);
    }
    assert!(mail.html.contains("{{ 7*7 }}"));
}
