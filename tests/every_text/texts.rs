//! Issues, comments and messages: with everything that a match can hold, and with nothing but its title.

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};
use uuid::Uuid;
use vorhoelle::domain::identity::Fingerprint;
use vorhoelle::domain::inert::Wanted;
use vorhoelle::domain::sending::{Attempt, AttemptOutcome, DraftContent};
use vorhoelle::domain::{JobMatch, Language, posted_match};
use vorhoelle::gitlab::draft_text::{self, DraftIs};
use vorhoelle::gitlab::issue_text::{self, BodyContext, Staged};
use vorhoelle::notify::render;
use vorhoelle::notify::{Notice, NoticeKind, NoticeMatch};
use vorhoelle::templates::Templates;

const LANGUAGES: [(&str, Language); 2] = [("de", Language::De), ("en", Language::En)];
const HIDDEN: &str = "<!-- vorhoelle {} -->";

/// A template's name, what it was given, and what came out.
type Text = (String, String, String);

/// A match that says everything that one can say.
pub fn full() -> Value {
    json!({
        "title": "Cloud Architect", "company": "Amoria Bond", "agency": "Hays", "score": 97.5, "source": "feed",
        "external_id": "4711", "url": "https://jobs.example/4711", "end_client": "Wiener Netze", "location": "Wien",
        "remote": 62.5, "rate": {"amount": 12_500.5, "currency": "EUR", "per": "month"}, "start": "sofort",
        "duration": "12 Monate", "contact": {"name": "Clara", "email": "clara@agency.example", "phone": "+43 1 234"},
        "skills": {"matched": ["AWS", "Rust"], "missing": ["SAP"]}, "summary": "Fits well.",
        "description": "We need you.\n\nApply now.", "deadline": "2026-12-15", "extra": {"note": "x"},
    })
}

pub fn bare() -> Value {
    json!({"title": "Rust", "score": 70})
}

fn matches() -> [(&'static str, JobMatch); 3] {
    [
        ("full", posted_match::parse(full()).unwrap()),
        ("bare", posted_match::parse(bare()).unwrap()),
        ("imported", JobMatch::titled("Imported")),
    ]
}

/// Every text that is no page.
pub fn all() -> Vec<Text> {
    let templates = Templates::load(None).unwrap();
    let mut texts = Vec::new();
    for (word, language) in LANGUAGES {
        issues(&templates, word, language, &mut texts);
        sending(&templates, word, language, &mut texts);
        comments(&templates, word, &mut texts);
        messages(&templates, word, language, &mut texts);
    }
    for (what, letter) in [("full", "<p>Dear Clara</p>"), ("bare", "<p>x</p>")] {
        let text = templates.render("mail/application.html", json!({ "letter": letter })).unwrap();
        texts.push(("mail/application.html".to_owned(), what.to_owned(), text));
    }
    texts.push((
        "settings.yml".to_owned(),
        "defaults".to_owned(),
        templates.render("settings.yml", json!({})).unwrap(),
    ));
    texts
}

fn issues(templates: &Templates, word: &str, language: Language, texts: &mut Vec<Text>) {
    let full = BodyContext {
        language,
        mentions: vec!["colleague".to_owned()],
        possible_duplicates: vec![3, 7],
        gitlab_host: Some("gitlab.example".to_owned()),
    };
    let empty = BodyContext { language, ..BodyContext::default() };
    for (what, job) in matches() {
        for (around, context) in [("much around", &full), ("nothing around", &empty)] {
            let staged = Staged { job: job.clone(), nonce: Uuid::nil() };
            let body = issue_text::body(templates, &staged, context).unwrap();
            texts.push((format!("issue.{word}.md"), format!("{what}, {around}"), body));
        }
        texts.push((format!("issue.{word}.md"), format!("title of {what}"), issue_text::title(&job)));
    }
    let fingerprint = Fingerprint::written(&"0123456789abcdef".repeat(4)).unwrap();
    for known in [Some(&fingerprint), None] {
        let (title, body) = issue_text::erased_text(templates, language, known).unwrap();
        texts.push((
            format!("erased.{word}.md"),
            format!("{}", known.is_some()),
            format!("{title}\n\n{body}"),
        ));
    }
    let settings = templates.render(&format!("settings.{word}.md"), json!({ "yaml": "min_score: 70" }));
    texts.push((format!("settings.{word}.md"), "a block".to_owned(), settings.unwrap()));
}

fn attempt(outcome: AttemptOutcome, full: bool) -> Attempt {
    let some = |text: &str| full.then(|| text.to_owned());
    Attempt {
        note: 7,
        nonce: Uuid::nil(),
        instance: Uuid::nil(),
        since: "2026-11-23T08:00:00Z".parse().unwrap(),
        draft: "0123".to_owned(),
        to: "clara@agency.example".to_owned(),
        message_id: "<application.1@example.com>".to_owned(),
        by: "pipeline".to_owned(),
        through: vorhoelle::domain::history::Through::Api,
        override_reason: some("they agreed"),
        outcome,
        at: full.then(|| "2026-11-23T08:00:01Z".parse().unwrap()),
        reason: some("the mail server did not answer"),
        resolved_by: some("anna"),
    }
}

fn sending(templates: &Templates, word: &str, language: Language, texts: &mut Vec<Text>) {
    use AttemptOutcome::{Failed, Open, Resolved, Retried, Sent, Unknown, Withdrawn};
    let full = DraftContent {
        to: Some("Clara <clara@agency.example>".to_owned()),
        subject: "Cloud Architect".to_owned(),
        body: "Dear Clara,\n\nI am **free**.".to_owned(),
        attachments: vec!["cv/cv.pdf".to_owned(), "cv/list.pdf".to_owned()],
    };
    let bare = DraftContent { subject: "x".to_owned(), body: "y".to_owned(), ..DraftContent::default() };
    for (what, content) in [("full", &full), ("bare", &bare)] {
        let sent = attempt(Sent, what == "full");
        for is in [DraftIs::Persons, DraftIs::Programs("pipeline"), DraftIs::Sent(&sent)] {
            let text = draft_text::draft(templates, language, content, is).unwrap();
            texts.push((format!("comments/draft.{word}.md"), format!("{what}, {is:?}"), text));
        }
    }
    for outcome in [Open, Unknown, Sent, Failed, Withdrawn, Retried, Resolved] {
        for full in [true, false] {
            // Why a mail did not leave is always known.
            let attempt = attempt(outcome, full || outcome == Failed);
            let text = draft_text::attempt(templates, language, &attempt, full.then_some(HIDDEN)).unwrap();
            texts.push((format!("comments/send.{word}.md"), format!("{outcome:?}, full: {full}"), text));
        }
    }
}

fn comments(templates: &Templates, word: &str, texts: &mut Vec<Text>) {
    let row = |label: &str, value: &str| json!({"label": label, "value": value});
    let contexts = [
        ("application", json!({"rows": [row("Stage", "applied"), row("Notes", "x")], "hidden": HIDDEN})),
        ("application", json!({"rows": [row("Stage", "")], "hidden": HIDDEN})),
        ("duplicate", json!({"first": 12})),
        (
            "given_up",
            json!({"channel": "email", "reason": "no such mailbox", "is_tried_again": false, "hidden": HIDDEN}),
        ),
        (
            "given_up",
            json!({"channel": "slack", "reason": "mailbox full", "is_tried_again": true, "hidden": HIDDEN}),
        ),
        ("told", json!({"hidden": HIDDEN})),
        ("unreadable", json!({"cells": [{"label": "Stage", "text": "hired"}]})),
        (
            "unreadable",
            json!({"cells": [{"label": "Stage", "text": "hired"}, {"label": "RTR", "text": "perhaps"}]}),
        ),
        (
            "settings_refused",
            json!({"kind": "invalid", "unfit": false, "reason": "min_score: no", "hidden": HIDDEN}),
        ),
        (
            "settings_refused",
            json!({"kind": "invalid", "unfit": true, "reason": "min_score: no", "hidden": HIDDEN}),
        ),
        ("settings_refused", json!({"kind": "no_reviewer", "who": "eve", "hidden": HIDDEN})),
        ("settings_refused", json!({"kind": "no_reviewer", "who": null, "hidden": HIDDEN})),
        ("settings_refused", json!({"kind": "another", "first": 12, "hidden": HIDDEN})),
        ("settings_refused", json!({"kind": "another", "first": null, "hidden": HIDDEN})),
    ];
    let mut contexts: Vec<(&str, Value)> = contexts.into();
    for kind in ["ambiguous", "not_allowed", "no_state", "no_reviewer"] {
        for who in [Some("eve"), None] {
            for allowed in [&["approved", "rejected"][..], &[]] {
                contexts.push((
                    "refusal",
                    json!({"kind": kind, "state": "pending", "to": "sent", "who": who, "allowed": allowed}),
                ));
            }
        }
    }
    for through in ["api", "link", "csv", "cli", "page", "service", "gitlab"] {
        for to in ["pending", "approved", "rejected", "sent"] {
            for comment in [Some("too far"), None] {
                contexts.push((
                    "decision",
                    json!({"to": to, "by": "anna", "through": through, "comment": comment, "hidden": HIDDEN}),
                ));
            }
        }
    }
    let wanted = Wanted { mentions: Vec::new(), references: vec![12] };
    for (name, context) in contexts {
        let name = format!("comments/{name}.{word}.md");
        let text = issue_text::comment(templates, &name, &context, &wanted).unwrap();
        texts.push((name, context.to_string(), text));
    }
}

fn messages(templates: &Templates, word: &str, language: Language, texts: &mut Vec<Text>) {
    let told = |job: &JobMatch, much: bool| NoticeMatch {
        iid: 1,
        web_url: "https://gitlab.example/acme/jobs/-/issues/1".to_owned(),
        job: job.clone(),
        possible_duplicates: if much { vec![3, 4] } else { Vec::new() },
        waiting: SignedDuration::from_hours(if much { 55 } else { 0 }),
        approve_url: much.then(|| "https://jobs.example/a/approve".to_owned()),
        reject_url: much.then(|| "https://jobs.example/a/reject".to_owned()),
    };
    let quiet = |hours| NoticeKind::Quiet { since: SignedDuration::from_hours(hours) };
    let mut notices = Vec::new();
    for (what, job) in matches() {
        for much in [true, false] {
            for (kind, count) in [
                (NoticeKind::Match, 1),
                (NoticeKind::Digest, 3),
                (NoticeKind::Reminder, 1),
                (NoticeKind::Reminder, 2),
            ] {
                notices.push((
                    format!("{count} {what}, much: {much}"),
                    kind,
                    vec![told(&job, much); count],
                    much,
                ));
            }
        }
    }
    for kind in [quiet(72), quiet(1), NoticeKind::Test] {
        notices.extend([true, false].map(|much| (format!("much: {much}"), kind, Vec::new(), much)));
    }
    for (what, kind, matches, much) in notices {
        let notice = Arc::new(Notice {
            kind,
            language,
            matches,
            list_url: "https://gitlab.example/acme/jobs/-/issues".to_owned(),
            inbox_url: much.then(|| "https://jobs.example/".to_owned()),
        });
        let what = format!("{kind:?} {what} in {word}");
        let mail = render::mail(templates, &notice).unwrap();
        texts.push(("mail/subject.txt".to_owned(), what.clone(), mail.subject));
        texts.push(("mail/notice.txt".to_owned(), what.clone(), mail.text));
        texts.push(("mail/notice.html".to_owned(), what.clone(), mail.html));
        let slack = render::slack(templates, &notice).unwrap();
        texts.push((
            format!("slack/notice.{word}.json"),
            what.clone(),
            serde_json::to_string(&slack).unwrap(),
        ));
        let whatsapp = render::whatsapp(templates, &notice).unwrap();
        texts.push((format!("whatsapp/notice.{word}.txt"), what.clone(), whatsapp.body));
        let variables = serde_json::to_string(&whatsapp.variables).unwrap();
        texts.push((format!("whatsapp/variables.{word}.txt"), what, variables));
    }
}
