//! What any version ever wrote into issues is read for ever: `tests/data/issue_texts/`, a folder a form.
//!
//! Nothing in those folders is ever changed. Where today's texts differ from the newest folder, the test says so, and
//! `ISSUE_TEXTS_UPDATE=yes` puts today's into a folder of their own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

mod support;

use std::path::PathBuf;

use serde_json::{Value, json};
use support::{Disk, World};
use uuid::Uuid;
use vorhoelle::domain::identity::Fingerprint;
use vorhoelle::domain::{Language, posted_match};
use vorhoelle::gitlab::issue_text::{self, BodyContext, Staged};
use vorhoelle::templates::Templates;

const NONCE: u128 = 0x7f2c_0f9e_5b5c_4c52_9d1c_1d0d_2b6f_0a11;

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/issue_texts")
}

/// The numbers of the forms, the newest last.
fn forms() -> Vec<u32> {
    let folders = std::fs::read_dir(corpus()).map(|all| all.map(|one| one.unwrap().file_name()).collect());
    let folders: Vec<std::ffi::OsString> = folders.unwrap_or_default();
    let mut forms: Vec<u32> = folders.iter().map(|name| name.to_str().unwrap().parse().unwrap()).collect();
    forms.sort_unstable();
    forms
}

/// Matches of every kind: whole, bare, hostile in every field, long.
fn samples() -> Vec<(&'static str, Value)> {
    let demo: Vec<Value> = serde_json::from_str(include_str!("../config/demo-matches.json")).unwrap();
    let hostile = "/close\n> /label ~x\n```json\n{\"vorhoelle\":1}\n```\n@all #1 !2 <img src=x> ![](http://e/x.png) \
                   <!-- /vorhoelle:advertisement --> <details> | a | b |\n\u{202e}=cmd()\r\n$$x$$ [a](javascript:b)";
    let line = "@all #1 | `x` <b> [a](http://b) </details>";
    vec![
        ("whole", demo[0].clone()),
        ("bare", json!({"title": "Rust", "score": 70})),
        (
            "unidentified",
            json!({"title": "Rust", "score": 70.5, "company": "Acme", "remote": 80, "rate": "nach Vereinbarung"}),
        ),
        (
            "hostile",
            json!({
                "title": line, "score": 99, "company": line, "agency": line, "end_client": line, "location": line,
                "source": line, "external_id": line, "url": "https://jobs.example/a(b)c|d?x=@all#1",
                "remote": line, "rate": {"amount": 105.5, "currency": "EUR", "per": "hour"}, "start": line,
                "duration": line, "contact": {"name": line, "email": line, "phone": line},
                "skills": {"matched": [line, "Rust"], "missing": [line]}, "summary": hostile,
                "description": hostile, "deadline": "2026-12-15", "extra": {"note": hostile},
            }),
        ),
        (
            "long",
            json!({"title": "Long", "score": 80, "source": "s", "external_id": "1", "description": "@ü ".repeat(1_000)}),
        ),
    ]
}

/// Today's texts by file name, each with what reading it must give.
fn todays() -> Vec<(String, String, Value)> {
    let templates = Templates::load(None).unwrap();
    let mut texts = Vec::new();
    for (word, language) in [("de", Language::De), ("en", Language::En)] {
        for (number, (name, job)) in (0..).zip(samples()) {
            let staged =
                Staged { job: posted_match::parse(job).unwrap(), nonce: Uuid::from_u128(NONCE + number) };
            let context = BodyContext {
                language,
                mentions: vec!["colleague".to_owned()],
                possible_duplicates: vec![3],
                gitlab_host: Some("gitlab.example".to_owned()),
            };
            let body = issue_text::body(&templates, &staged, &context).unwrap();
            texts.push((format!("{name}.{word}"), body.clone(), reading(&body)));
        }
        let fingerprint = Fingerprint::written(&"0123456789abcdef".repeat(4)).unwrap();
        let (_, body) = issue_text::erased_text(&templates, language, Some(&fingerprint)).unwrap();
        texts.push((format!("erased.{word}"), body.clone(), reading(&body)));
    }
    texts
}

/// What a text says, as programs read it.
fn reading(text: &str) -> Value {
    if let Some(fingerprint) = issue_text::read_erased(text) {
        assert_eq!(issue_text::read_back(text), None);
        return json!({ "erased": fingerprint.as_str() });
    }
    let Staged { job, nonce } = issue_text::read_back(text).expect("a block of ours");
    let fingerprint = Fingerprint::of(&job, nonce);
    json!({ "match": job, "nonce": nonce, "fingerprint": fingerprint.as_str() })
}

#[test]
fn todays_texts_are_in_the_corpus() {
    let newest = forms().last().copied().unwrap_or(0);
    let folder = corpus().join(newest.to_string());
    let same = |name: &str, text: &str| {
        std::fs::read_to_string(folder.join(format!("{name}.md"))).is_ok_and(|kept| kept == text)
    };
    let new: Vec<String> =
        todays().into_iter().filter(|(name, text, _)| !same(name, text)).map(|(name, ..)| name).collect();
    if new.is_empty() {
        return;
    }
    assert!(
        std::env::var_os("ISSUE_TEXTS_UPDATE").is_some(),
        "{new:?} are written otherwise than in {}; ISSUE_TEXTS_UPDATE=yes keeps them beside the old ones",
        folder.display()
    );
    let folder = corpus().join((newest + 1).to_string());
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text, reading) in todays() {
        std::fs::write(folder.join(format!("{name}.md")), text).unwrap();
        let reading = serde_json::to_string_pretty(&reading).unwrap() + "\n";
        std::fs::write(folder.join(format!("{name}.json")), reading).unwrap();
    }
}

/// Every text that is kept, by name, with what it says.
fn kept() -> Vec<(String, String, Value)> {
    let mut kept = Vec::new();
    for form in forms() {
        let folder = corpus().join(form.to_string());
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "md") {
                let text = std::fs::read_to_string(&path).unwrap();
                let reading = std::fs::read_to_string(path.with_extension("json")).unwrap();
                kept.push((path.display().to_string(), text, serde_json::from_str(&reading).unwrap()));
            }
        }
    }
    kept
}

#[test]
fn every_text_that_was_ever_written_is_read_as_it_was_meant() {
    let kept = kept();
    assert!(kept.len() >= 12, "{}", kept.len());
    for (name, text, meant) in kept {
        assert_eq!(reading(&text), meant, "{name}");
        // As a Windows machine, or a person who adds a note, leaves it.
        assert_eq!(reading(&text.replace('\n', "\r\n")), meant, "{name} with CRLF");
        assert_eq!(reading(&format!("My note.\n\n{text}\n\nMore of it.")), meant, "{name} with notes");
    }
}

/// A fresh machine that finds issues of every form knows them all, and stages none of them again.
#[tokio::test]
async fn a_fresh_machine_knows_the_matches_of_every_version() {
    let mut world = World::new().await;
    let mut expected = Vec::new();
    for (name, text, meant) in kept() {
        let is_one = meant["fingerprint"].is_string();
        // One identity once: the same match in another language or form would be its duplicate.
        if !is_one
            || expected.iter().any(|(_, one): &(u64, Value)| one["fingerprint"] == meant["fingerprint"])
        {
            continue;
        }
        let labels = ["job-match", "job-match/pending"];
        let iid = world
            .person("bot")
            .create_issue("Old", &text, &labels)
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        expected.push((iid, meant));
    }
    world.settle().await;
    world.restart(Disk::Wiped).await;
    for (iid, meant) in &expected {
        let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
        assert_eq!(answer["fingerprint"], meant["fingerprint"], "#{iid}: {answer}");
        assert_eq!(answer["title"], meant["match"]["title"], "#{iid}");
    }
    assert!(expected.len() >= 5, "{}", expected.len());
    world.finish().await;
}

/// The comment that says who decided, as the first version wrote it.
#[tokio::test]
async fn an_old_decision_is_still_somebodys() {
    let old = "**pipeline** approved this match through the API: “good rate”\n\n<!-- vorhoelle {\n  \"decision\": {\n    \
               \"by\": \"pipeline\",\n    \"comment\": \"good rate\",\n    \"from\": \"pending\",\n    \
               \"nonce\": \"7f2c0f9e-5b5c-4c52-9d1c-1d0d2b6f0a11\",\n    \"through\": \"api\",\n    \"to\": \"approved\"\n  }\n} -->";
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    world.kill(Disk::Wiped).await;
    world.person("bot").comment(iid, old).unwrap();
    world.person("bot").relabel(iid, &["job-match/approved"], &["job-match/pending"]).unwrap();
    world.start().await;
    world.engine.delta().await.unwrap();
    world.settle().await;
    let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
    let step = &answer["history"][0];
    assert_eq!(
        (&step["by"], &step["through"], &step["comment"]),
        (&json!("pipeline"), &json!("api"), &json!("good rate")),
        "{answer}"
    );
    world.expect_comment(iid, "pipeline");
    world.finish().await;
}
