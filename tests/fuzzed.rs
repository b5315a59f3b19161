//! The fuzz targets' functions on any compiler: over the corpus that is kept, and over texts made by proptest.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value;

#[path = "../fuzz/src/lib.rs"]
mod checks;

type Check = fn(&[u8]);

const TARGETS: [(&str, Check); 7] = [
    ("webhook", checks::webhook),
    ("inert", checks::inert),
    ("issue_text", checks::issue_text),
    ("action_link", checks::action_link),
    ("csv", checks::csv),
    ("settings", checks::settings),
    ("posted", checks::posted),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn entries(folder: &str) -> Vec<PathBuf> {
    std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn the_corpus_holds() {
    for (name, check) in TARGETS {
        let mut files = entries(&format!("fuzz/corpus/{name}"));
        assert!(!files.is_empty(), "{name}");
        if name == "csv" {
            // What real programs saved.
            files.extend(entries("tests/data/csv"));
        }
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            let checked = std::panic::catch_unwind(|| check(&bytes));
            assert!(checked.is_ok(), "{}", file.display());
        }
    }
}

/// None is fuzzed without being run here, or has no corpus to begin with.
#[test]
fn every_target_is_named_everywhere() {
    let ours: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    let programs = manifest.split("[[bin]]").skip(1);
    let program = |text: &str| text.split('"').nth(1).unwrap().to_owned();
    assert_eq!(programs.map(program).collect::<BTreeSet<_>>(), ours, "fuzz/Cargo.toml");
    for folder in ["fuzz/corpus", "fuzz/fuzz_targets"] {
        let names = entries(folder)
            .iter()
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(ours, names, "{folder}");
    }
}

/// Bytes, and texts of the signs that mean something to one of the readers.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        any::<String>().prop_map(String::into_bytes),
        "[-a-z0-9@#!/\\\\&;,:*\\[\\]{}()'\"=+|w. \n\t\r`~<>$%?_\u{2060}ü]{0,120}"
            .prop_map(String::into_bytes),
    ]
}

/// JSON of any shape, with the names that a delivery has.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just("issue".into()),
        Just("note".into()),
    ];
    let names = [
        "object_kind",
        "object_attributes",
        "project",
        "project_id",
        "issue",
        "user",
        "id",
        "iid",
        "updated_at",
        "x",
    ];
    leaf.prop_recursive(5, 100, 10, move |inner| {
        let name = prop::sample::select(names.to_vec());
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..10).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..10)
                .prop_map(|pairs| pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_delivery(head in "([a-z-]{1,12}: [ -~]{0,40}\n){0,4}", token in any::<bool>(), body in anything()) {
        let token = if token { "x-gitlab-token: secret-of-the-webhook\n" } else { "" };
        let timestamp = "webhook-timestamp: 1764000000\nwebhook-id: a\nwebhook-signature: v1,AAAA\n";
        checks::webhook(&[head.as_bytes(), token.as_bytes(), timestamp.as_bytes(), b"\n", &body].concat());
    }

    #[test]
    fn any_json_of_a_delivery(json in any_json(), deep in 0..300_usize) {
        checks::webhook(format!("x-gitlab-token: secret-of-the-webhook\n\n{json}").as_bytes());
        let nested = "[".repeat(deep) + &json.to_string() + &"]".repeat(deep);
        checks::webhook(format!("x-gitlab-token: secret-of-the-webhook\n\n{nested}").as_bytes());
    }

    #[test]
    fn any_time_of_a_delivery(seconds in any::<i64>()) {
        checks::webhook(format!("webhook-timestamp: {seconds}\nwebhook-id: a\nwebhook-signature: v1,AA\n\n{{}}").as_bytes());
    }

    #[test]
    fn any_foreign_text(text in anything()) {
        checks::inert(&text);
        checks::issue_text(&text);
    }

    #[test]
    fn any_block_of_data(before in anything(), inside in anything()) {
        let text = [before.as_slice(), b"```json\n", &inside, b"\n```\n"].concat();
        checks::issue_text(&text);
    }

    #[test]
    fn any_action_token(text in anything(), claim in "[0-9+-]{1,21}\\.(approve|reject|undo)\\.(email|slack|todo)\\.[0-9-]{1,14}", signature in "[A-Za-z0-9_=-]{0,60}") {
        checks::action_link(&text);
        checks::action_link(format!("{claim}.{signature}").as_bytes());
    }

    #[test]
    fn any_spreadsheet(rows in anything()) {
        checks::csv(&rows);
        checks::csv(&[b"iid;Titel;Notizen\n".as_slice(), &rows].concat());
    }

    #[test]
    fn any_settings(
        key in prop_oneof![Just("min_score"), Just("batch"), Just("quiet_hours"), Just("reviewers"), Just("channels"), Just("sync_interval")],
        value in "[-a-z0-9:{}\\[\\]\"', #&*|>\n!%]{0,40}",
    ) {
        checks::settings(format!("{key}: {value}\n").as_bytes());
        checks::settings(value.as_bytes());
    }

    #[test]
    fn any_match(title in any::<String>(), score in any::<f64>(), text in any::<String>(), key in "[a-z_]{1,12}") {
        let job = serde_json::json!({ "title": title, "score": score, key: text, "summary": text });
        checks::posted(job.to_string().as_bytes());
    }
}
