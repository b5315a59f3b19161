//! Which texts are quick actions, and what they do.

#[path = "sandbox/support.rs"]
mod support;

use proptest::prelude::*;
use serde_json::{Value, json};
use support::{client, shared_json, stepped};
use vorhoelle::sandbox::{quick_actions, rendered_effects};

fn lines(text: &str) -> (String, Vec<String>) {
    let (stored, actions) = quick_actions(text);
    (stored, actions.iter().map(|action| action.line()).collect())
}

#[test]
fn every_recorded_verdict_holds() {
    let Some(file) = shared_json("quick-action-verdicts.json") else {
        return;
    };
    let suffix = file["suffix"].as_str().unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() >= 30);
    for case in cases {
        let text = format!("{}{suffix}", case["text"].as_str().unwrap());
        let (stored, commands) = lines(&text);
        assert_eq!(json!(commands), case["commands"], "{text:?}");
        if commands.is_empty() {
            assert_eq!(stored, text);
        } else {
            assert_ne!(stored, text, "a command stays in the text");
        }
    }
}

#[test]
fn what_the_fact_sheet_says_beyond_the_verdicts() {
    let fires = [
        "words\n/close",
        "/close\r\n",
        "/close\t",
        "<!-- note -->\n/close",
        ">>>>\n```\n>>>>\n/close\n```",
        ">>> [!warning]\n~~~\n>>>\n/close\n~~~",
        "> quote\n\n/close",
        "- item\n\n/close",
        "/close\n\n/close",
        "/CLOſE",
    ];
    for text in fires {
        assert!(!lines(text).1.is_empty(), "{text:?} fires");
    }
    let inert = [
        "# /close",
        "- /close",
        "> /close",
        "> quote\n/close",
        "| a |\n| - |\n/close | b",
        ">>>\n/close\n>>>",
        "<div>\n/close\n</div>",
        "`code\n/close\ncode`",
        "    /close",
        "\t/close",
        "/closed",
        "/ close",
        "a /close",
    ];
    for text in inert {
        assert_eq!(lines(text).1, Vec::<String>::new(), "{text:?} does not fire");
    }
}

#[test]
fn commands_are_cut_out_and_the_rest_stays() {
    assert_eq!(
        lines("one\n/label ~a\n\ntwo\n/close"),
        ("one\n\ntwo".into(), vec!["label ~a".into(), "close".into()])
    );
    assert_eq!(lines("/clo\u{17f}e\nrest"), ("rest".into(), vec!["clo\u{17f}e".into()]));
    assert_eq!(lines("/shrug oh\nrest").0, "oh ¯\\_(ツ)_/¯\nrest");
    assert_eq!(lines("\n\n  text  \n").0, "\n\n  text");
}

#[tokio::test]
async fn a_description_is_executed_with_its_authors_permissions() {
    let (sandbox, _) = stepped().await;
    let bot = client(&sandbox, "bot");
    bot.post("labels", json!({"name": "a b", "color": "#123456"})).await;
    let text = "/label ~\"a b\" ~unknown\n/assign @reviewer\n/due 2026-12-24\n/confidential\n/title Other\n/todo\n/award :tada:\n/close";
    let (status, issue) = bot.post("issues", json!({"title": "t", "description": text})).await;
    assert_eq!(status, 201);
    assert_eq!(issue["title"], "Other");
    assert_eq!(issue["labels"], json!(["a b"]));
    assert_eq!(issue["assignees"][0]["username"], "reviewer");
    assert_eq!(issue["due_date"], "2026-12-24");
    assert_eq!(issue["confidential"], true);
    assert_eq!(issue["state"], "closed");
    assert_eq!(issue["description"], Value::Null);
    assert_eq!(sandbox.world().reactions.len(), 1);
    let fired = sandbox.world().fired_quick_actions.clone();
    assert_eq!(fired.len(), 8);
    assert!(fired.iter().all(|action| action.user == "bot"));

    let guest = client(&sandbox, "guest");
    let (_, issue) = bot.post("issues", json!({"title": "t"})).await;
    let (status, answer) =
        guest.post(&format!("issues/{}/notes", issue["iid"]), json!({"body": "/close"})).await;
    assert_eq!(status, 400, "commands that may not run are an error: {answer}");
    let (_, issue) = bot.get(&format!("issues/{}", issue["iid"])).await;
    assert_eq!(issue["state"], "opened");
}

#[tokio::test]
async fn an_update_executes_only_what_is_new() {
    let (sandbox, _) = stepped().await;
    let bot = client(&sandbox, "bot");
    let iid = bot.issue(json!({"title": "t", "description": "text"})).await;
    sandbox.world().issues.get_mut(&iid).unwrap().description = Some("text\n\n/close".into());
    let (_, issue) = bot.put(&format!("issues/{iid}"), json!({"title": "u"})).await;
    assert_eq!((issue["state"].as_str(), issue["description"].as_str()), (Some("opened"), Some("text")));
    let (_, issue) = bot.put(&format!("issues/{iid}"), json!({"description": "new\n\n/close"})).await;
    assert_eq!((issue["state"].as_str(), issue["description"].as_str()), (Some("closed"), Some("new")));
}

#[tokio::test]
async fn a_comment_of_commands_alone_is_not_stored() {
    let (sandbox, _) = stepped().await;
    let bot = client(&sandbox, "bot");
    let iid = bot.issue(json!({"title": "t"})).await;
    let notes = format!("issues/{iid}/notes");
    let (status, answer) = bot.post(&notes, json!({"body": "/close"})).await;
    assert_eq!((status, &answer["commands_changes"]["state_event"]), (202, &json!("close")));
    assert!(answer["summary"].as_array().is_some_and(|summary| summary.len() == 1));
    assert!(sandbox.world().comments_of(iid).is_empty());
    let (status, note) = bot.post(&notes, json!({"body": "words\n/reopen\n/duplicate #99\n/move x/y"})).await;
    assert_eq!((status, note["body"].as_str()), (201, Some("words")));
    let world = sandbox.world();
    assert!(world.issue(iid).unwrap().moved_to.is_some(), "moved, and so closed again");
    assert_eq!(world.issue(iid).unwrap().state.word(), "closed");
}

#[test]
fn a_text_has_the_effects_that_gitlab_gives_it() {
    let effects = rendered_effects(
        "@ann see #1, ~\"a b\", acme/x#2 and !3 \\@bob `@code` &#64;entity <b>@html</b> a@b.c\n\n\
         ![x](http://i/1.png) [y](ftp://z) https://host/acme/p/-/issues/7. www.example.org\n\n```\n@fence #9\n```",
    );
    assert_eq!(effects.mentions, ["ann", "entity", "html"]);
    for reference in ["#1", "~\"a b\"", "acme/x#2", "!3", "https://host/acme/p/-/issues/7"] {
        assert!(effects.references.iter().any(|found| found == reference), "{reference}: {effects:?}");
    }
    assert_eq!(effects.references.len(), 5);
    assert_eq!(effects.images, ["http://i/1.png"]);
    assert!(
        effects.links.contains(&"ftp://z".to_owned())
            && effects.links.contains(&"http://www.example.org".to_owned())
    );
    assert_eq!(effects.raw_html, ["<b>", "</b>"]);
    assert_eq!(rendered_effects("@\u{200b}ann #\u{200b}1 ann@example \\#1 `#1`"), Default::default());
}

/// Texts from the pieces that Markdown, quick actions and references are made of.
fn texts() -> impl Strategy<Value = String> {
    let pieces = [
        "/close",
        "/label ~a",
        "\n",
        "\n\n",
        "\r",
        " ",
        "\t",
        ">",
        ">>>",
        ">>> [!note]",
        "```",
        "~~~",
        "`",
        "<div>",
        "</div>",
        "<!--",
        "-->",
        "<img src=",
        "\"",
        "'",
        "\\",
        "&#64;",
        "&",
        ";",
        "@ann",
        "@",
        "#1",
        "#",
        "!1",
        "~",
        "%",
        "[",
        "](",
        ")",
        "![",
        "http://",
        "www.",
        "| a |",
        "- ",
        "1. ",
        "# ",
        "ö",
        "ſ",
        "\u{200b}",
        "word",
        "🦀",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_read(text in texts()) {
        rendered_effects(&text);
        let (stored, actions) = quick_actions(&text);
        let plain = text.replace('\r', "");
        if actions.is_empty() {
            prop_assert_eq!(stored, plain.trim_end());
        } else {
            prop_assert!(plain.lines().filter(|line| line.starts_with('/')).count() >= actions.len());
        }
    }

    #[test]
    fn a_backslash_before_the_slash_disarms(text in texts()) {
        let guarded = text.replace('\r', "").replace("/close", "\\/close").replace("/label", "\\/label");
        prop_assert!(quick_actions(&guarded).1.is_empty(), "{:?}", guarded);
    }
}
