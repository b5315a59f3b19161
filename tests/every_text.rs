//! Every template is rendered with much and with nothing to say, in both languages, and what people would read is looked
//! at for what no text may hold: marks of the template, words for nothing, gaps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

#[path = "every_text/flaws.rs"]
mod flaws;
#[path = "every_text/pages.rs"]
mod pages;
#[path = "support/smtp.rs"]
mod smtp;
mod support;
#[path = "every_text/texts.rs"]
mod texts;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The folder of the templates.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("templates")
}

/// Every template that makes something that people read, by its name. The sandbox's are no part of the service; styles,
/// scripts and pictures are no text.
fn all() -> BTreeSet<String> {
    fn collect(folder: &Path, names: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, names);
            } else {
                names.insert(path.strip_prefix(self::folder()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut names = BTreeSet::new();
    collect(&folder(), &mut names);
    let is_text = |name: &String| {
        !name.starts_with("sandbox/") && ![".css", ".js", ".svg"].iter().any(|end| name.ends_with(end))
    };
    names.retain(is_text);
    names
}

/// Those among them that hold words or parts for others, which are looked at with them.
fn is_part(name: &str) -> bool {
    name.contains("/words.") || matches!(name, "pages/time.html" | "pages/field.html")
}

#[test]
fn issues_comments_and_messages_have_no_flaws() {
    let texts = texts::all();
    let mut wrong = Vec::new();
    for (name, what, text) in &texts {
        wrong.extend(flaws::of(name, text).into_iter().map(|flaw| format!("{name}, {what}: {flaw}\n{text}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n====\n"));
    let rendered: BTreeSet<&str> = texts.iter().map(|(name, ..)| name.as_str()).collect();
    let missing: Vec<String> = all()
        .into_iter()
        .filter(|name| !name.starts_with("pages/") && !is_part(name) && !rendered.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "nobody renders {missing:?}");
}

#[tokio::test]
async fn pages_have_no_flaws() {
    let mut rendered = BTreeSet::new();
    let mut wrong = Vec::new();
    for language in ["de", "en"] {
        for (path, html) in pages::all(language).await {
            for name in pages::templates_of(&html) {
                rendered.insert(name);
            }
            let found = flaws::of_page(&html);
            wrong.extend(found.into_iter().map(|flaw| format!("{path} in {language}: {flaw}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let missing: Vec<String> = all()
        .into_iter()
        .filter(|name| name.starts_with("pages/") && !is_part(name) && !rendered.contains(name))
        .collect();
    assert!(missing.is_empty(), "nobody visits {missing:?}");
}
