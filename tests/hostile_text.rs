//! Any text in any field leaves the created issue as it should be, in a GitLab that executes quick actions.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

mod support;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::World;
use vorhoelle::sandbox::rendered_effects;

/// Every row of the fact sheet's table of quick actions that GitLab 19.4.1 ran or did not run.
fn recorded_texts() -> Vec<String> {
    let folder = std::env::var_os("VORHOELLE_SHARED")
        .map_or_else(|| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), Into::into);
    let file = folder.join("reference/gitlab/quick-action-verdicts.json");
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("skipped: {} is not there", file.display());
        return Vec::new();
    };
    let table: Value = serde_json::from_str(&text).unwrap();
    table["cases"].as_array().unwrap().iter().map(|case| case["text"].as_str().unwrap().to_owned()).collect()
}

/// A match that holds the text wherever text may stand.
fn poisoned(id: &str, text: &str) -> Value {
    let line: String = text.chars().take(200).collect();
    json!({
        "title": format!("x{line}"), "score": 90, "source": "hostile", "external_id": id,
        "company": line, "agency": line, "end_client": line, "location": line, "remote": line, "rate": line,
        "start": line, "duration": line, "contact": {"name": line, "email": line, "phone": line},
        "skills": {"matched": [line, "Rust"], "missing": [line]}, "summary": text, "description": text,
        "extra": {"note": text}, "url": "https://jobs.example/a(b)c|d?x=@all#1",
    })
}

/// The issue is as an honest match would have left it.
async fn check(world: &World, text: &str, id: &str) {
    let (status, answer) = world.post(&poisoned(id, text)).await;
    assert!(status == StatusCode::CREATED, "{status} {answer} for {text:?}");
    let iid = answer["iid"].as_u64().unwrap();
    let expected: String = text.replace("\r\n", "\n").replace('\r', "\n");
    let expected: String = expected.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    if !expected.trim().is_empty() {
        assert_eq!(answer["description"], expected.as_str(), "the advertisement reads back");
    }
    world.expect_labels(iid, "pending");
    let gitlab = world.sandbox.world();
    let issue = gitlab.issue(iid).unwrap();
    let description = issue.description.clone().unwrap();
    assert_eq!(gitlab.fired_quick_actions, [], "quick actions of {text:?} in\n{description}");
    assert_eq!(issue.assignees, [gitlab.user_named("reviewer").unwrap().id]);
    assert!(!issue.confidential && issue.discussion_locked != Some(true) && issue.due_date.is_none());
    let effects = rendered_effects(&description);
    assert_eq!(effects.mentions, ["colleague"], "mentions of {text:?} in\n{description}");
    // The same role through another agency is said on purpose.
    let numbers: Vec<&String> = effects.references.iter().filter(|one| !one.starts_with('#')).collect();
    assert!(numbers.is_empty(), "references {numbers:?} of {text:?} in\n{description}");
    assert!(effects.images.is_empty(), "images {:?} of {text:?}", effects.images);
    let own = |link: &&String| !link.starts_with("https://jobs.example/a");
    assert_eq!(effects.links.iter().filter(own).count(), 0, "links {:?} of {text:?}", effects.links);
    let title = rendered_effects(&issue.title);
    assert!(title.mentions.is_empty() && title.references.is_empty(), "{title:?} of {:?}", issue.title);
    assert!(issue.title.chars().count() <= 255);
}

#[tokio::test]
async fn the_recorded_quick_actions_do_nothing_in_any_field() {
    let world = World::new().await;
    for (index, text) in recorded_texts().into_iter().enumerate() {
        check(&world, &text, &format!("plain-{index}")).await;
        check(&world, &format!("Hello\n{text}\n\n{text}"), &format!("inside-{index}")).await;
    }
    let at_all: Vec<_> = world.sandbox.as_user("owner").todos();
    assert_eq!(at_all.len(), 0, "nobody was called who is no reviewer");
}

/// Twenty thousand characters that a quadratic walk would choke on.
#[tokio::test]
async fn long_texts_without_a_blank_are_staged_in_no_time() {
    let world = World::new().await;
    for (index, piece) in ["x", "@", "\\", ":a", "&", "a1", "<"].into_iter().enumerate() {
        let text: String = piece.repeat(20_000).chars().take(20_000).collect();
        let body = json!({"title": "x", "score": 90, "source": "long", "external_id": index.to_string(), "description": text});
        assert_eq!(world.post(&body).await.0, StatusCode::CREATED, "{piece}");
    }
}

/// Pieces that mean something to GitLab, glued together at random.
fn hostile_text() -> impl Strategy<Value = String> {
    let pieces = [
        "/close",
        "/label ~\"job-match/approved\"",
        "@all",
        "@owner",
        "#1",
        "!1",
        "~bug",
        "%\"1\"",
        "&1",
        "$1",
        ">>>",
        "> ",
        "```",
        "~~~",
        "`",
        "<!--",
        "-->",
        "</details>",
        "<img src=x onerror=y>",
        "![x](https://evil.example/x.png)",
        "[x](javascript:alert(1))",
        "https://gitlab.example/a/b/-/issues/1",
        "|",
        "\\",
        "&#47;",
        "&#64;",
        "\n",
        "\n\n",
        "\r\n",
        "\r",
        "\t",
        "    ",
        " ",
        "* ",
        "- ",
        "1. ",
        "# ",
        "---",
        "===",
        "[^1]",
        "[[_TOC_]]",
        "::include{file=x}",
        "$$",
        "\u{200b}",
        "\u{2060}",
        "\u{202e}",
        "ü",
        "😀",
        "/cloſe",
        "www.gitlab.example/a/b/-/issues/1",
        "GL-1",
        "[issue:1]",
        "a1b2c3d4e5",
        ":smile:",
        "mailto:x@y.at",
        "{+ +}",
        "<br>",
        "%{x}",
        "\u{0}",
        "\u{7f}",
        "'",
        "\"",
        "text",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 1..12)
        .prop_map(|pieces| pieces.concat())
}

#[test]
fn any_text_in_any_field_leaves_the_issue_as_it_should_be() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let world = runtime.block_on(World::new());
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let number = std::cell::Cell::new(0);
    runner
        .run(&hostile_text(), |text| {
            number.set(number.get() + 1);
            runtime.block_on(check(&world, &text, &format!("{}", number.get())));
            world.clock.advance(std::time::Duration::from_secs(1));
            Ok(())
        })
        .unwrap();
}
