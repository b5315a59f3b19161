//! The house: who may use whom, read from the `use crate::` lines (see `ARCHITECTURE.md`).

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A room and what of ours it may use. `clock` and `templates` are tools that any room but `domain` may use.
const ROOMS: [(&str, &[&str]); 15] = [
    ("domain", &[]),
    ("clock", &[]),
    ("templates", &[]),
    ("metrics", &[]),
    ("sandbox", &[]),
    ("gitlab", &["domain", "clock", "templates"]),
    ("mirror", &["domain"]),
    ("csv", &["domain", "engine", "mirror"]),
    ("notify", &["domain", "gitlab", "mirror", "engine", "config", "clock", "templates", "metrics"]),
    (
        "outgoing",
        &["domain", "gitlab", "mirror", "engine", "config", "clock", "templates", "metrics", "notify"],
    ),
    ("config", &["domain", "gitlab"]),
    ("engine", &["domain", "gitlab", "mirror", "config", "clock", "templates", "metrics"]),
    (
        "web",
        &[
            "domain",
            "gitlab",
            "mirror",
            "engine",
            "config",
            "clock",
            "templates",
            "metrics",
            "csv",
            "notify",
            "outgoing",
        ],
    ),
    (
        "app",
        &[
            "domain",
            "gitlab",
            "mirror",
            "engine",
            "config",
            "clock",
            "templates",
            "metrics",
            "csv",
            "notify",
            "outgoing",
            "web",
        ],
    ),
    (
        "cli",
        &[
            "domain",
            "gitlab",
            "mirror",
            "engine",
            "config",
            "clock",
            "templates",
            "metrics",
            "csv",
            "notify",
            "outgoing",
            "web",
            "app",
            "sandbox",
        ],
    ),
];

/// Crates that one room alone may name.
const KEPT_IN: [(&str, &[&str]); 2] = [("gitlab::api", &["gitlab"]), ("rusqlite", &["mirror"])];

#[test]
fn every_room_uses_only_what_it_may() {
    let mut wrong = Vec::new();
    for file in sources() {
        let text = std::fs::read_to_string(&file).unwrap();
        let room = room_of(&file);
        let Some((_, may)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            assert!(matches!(room.as_str(), "lib" | "main" | "build"), "{} is in no room", file.display());
            continue;
        };
        for used in used_rooms(&text).into_iter().filter(|used| *used != room) {
            if !may.contains(&used.as_str()) {
                wrong.push(format!("{} uses {used}", file.display()));
            }
        }
        for (name, rooms) in KEPT_IN {
            if text.contains(&format!("use {name}")) && !rooms.contains(&room.as_str()) {
                wrong.push(format!("{} names {name}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_room_is_on_the_map() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let lib = std::fs::read_to_string(root.join("src/lib.rs")).unwrap();
    for module in lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')) {
        assert!(
            map.contains(&format!("{module}/")) || map.contains(&format!("{module}.rs")),
            "{module} in the map"
        );
    }
}

fn sources() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

fn room_of(file: &Path) -> String {
    let inside = file.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms that `crate::…` names in a file.
fn used_rooms(text: &str) -> BTreeSet<String> {
    let names = text.split("crate::").skip(1);
    names
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>())
        .filter(|name| ROOMS.iter().any(|(room, _)| room == name))
        .collect()
}
