//! The fuzz targets' functions on any compiler: over the corpus that is kept, and over texts made by proptest.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use proptest::prelude::*;

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

#[test]
fn the_corpus_holds() {
    for (name, check) in TARGETS {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty(), "{name}");
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            let checked = std::panic::catch_unwind(|| check(&bytes));
            assert!(checked.is_ok(), "{}", file.display());
        }
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

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_delivery(head in "([a-z-]{1,12}: [ -~]{0,40}\n){0,4}", token in any::<bool>(), body in anything()) {
        let token = if token { "x-gitlab-token: secret-of-the-webhook\n" } else { "" };
        let timestamp = "webhook-timestamp: 1764000000\nwebhook-id: a\nwebhook-signature: v1,AAAA\n";
        checks::webhook(&[head.as_bytes(), token.as_bytes(), timestamp.as_bytes(), b"\n", &body].concat());
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
