//! The chat channels and Gmail against strict receivers on real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use jiff::SignedDuration;
use serde_json::{Value, json};
use vorhoelle::domain::{Language, posted};
use vorhoelle::notify::render;
use vorhoelle::notify::{Notice, NoticeKind, NoticeMatch};
use vorhoelle::templates::Templates;

fn demo() -> Vec<NoticeMatch> {
    let matches: Vec<Value> = serde_json::from_str(include_str!("../config/demo-matches.json")).unwrap();
    matches
        .into_iter()
        .enumerate()
        .map(|(i, job)| {
            let iid = i as u64 + 12;
            NoticeMatch {
                iid,
                web_url: format!("https://gitlab.example/acme/jobs/-/issues/{iid}"),
                job: posted::parse(job).unwrap(),
                possible_duplicates: if i == 0 { vec![14] } else { vec![] },
                waiting: SignedDuration::from_hours(50 - 10 * i as i64),
                approve_url: None,
                reject_url: None,
            }
        })
        .collect()
}

#[test]
fn look() {
    let t = Templates::load(None).unwrap();
    for language in [Language::De, Language::En] {
        for (kind, n) in [
            (NoticeKind::Match, 1),
            (NoticeKind::Digest, 5),
            (NoticeKind::Reminder, 2),
            (NoticeKind::Quiet { since: SignedDuration::from_hours(72) }, 0),
            (NoticeKind::Test, 0),
        ] {
            let notice = Notice {
                kind,
                language,
                matches: demo().into_iter().take(n).collect(),
                list_url:
                    "https://gitlab.example/acme/jobs/-/issues?label_name[]=job-match/pending&state=opened"
                        .into(),
                inbox_url: Some("https://jobs.example/".into()),
            };
            let w = render::whatsapp(&t, &notice).unwrap();
            println!("-----\n{}\n{:#?}", w.body, w.variables);
            let s = render::slack(&t, &notice).unwrap();
            println!("{}", serde_json::to_string_pretty(&json!(s)).unwrap());
        }
    }
}
