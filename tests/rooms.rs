//! The house: who may use whom, read from the `use crate::` lines (see `ARCHITECTURE.md`).

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[path = "../benches/support/figures.rs"]
mod figures;

/// Crates that one room alone may name.
const KEPT_IN: [(&str, &[&str]); 2] = [("gitlab::api", &["gitlab"]), ("rusqlite", &["mirror"])];

/// The rooms and what of ours each may use, as the table of `ARCHITECTURE.md` says.
fn rooms() -> BTreeMap<String, BTreeSet<String>> {
    let map = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    let names = |text: &str| text.split(", ").map(|name| name.trim().to_owned()).collect::<BTreeSet<_>>();
    let rows: Vec<(BTreeSet<String>, String)> = map
        .lines()
        .skip_while(|line| !line.starts_with("| room | may use |"))
        .skip(2)
        .map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "))
        .map(|(rooms, may)| (names(rooms), may.to_owned()))
        .collect();
    let all: BTreeSet<String> = rows.iter().flat_map(|(rooms, _)| rooms.clone()).collect();
    let may_use = |text: &str| match text.strip_prefix("anything but ") {
        Some(but) => &all - &names(but),
        None if text == "anything" => all.clone(),
        None if text == "nothing of ours" => BTreeSet::new(),
        None => names(text),
    };
    let mut may = BTreeMap::new();
    for (rooms, text) in &rows {
        let used = may_use(text);
        assert!(used.is_subset(&all), "{text} names what is no room");
        may.extend(rooms.iter().map(|room| (room.clone(), used.clone())));
    }
    assert!(may.len() > 10, "the table was not found");
    may
}

#[test]
fn every_room_uses_only_what_it_may() {
    let rooms = rooms();
    let mut wrong = Vec::new();
    for file in sources() {
        let text = std::fs::read_to_string(&file).unwrap();
        let room = room_of(&file);
        let Some(may) = rooms.get(&room) else {
            assert!(matches!(room.as_str(), "lib" | "main" | "build"), "{} is in no room", file.display());
            continue;
        };
        for used in used_rooms(&text, &rooms).into_iter().filter(|used| *used != room) {
            if !may.contains(&used) {
                wrong.push(format!("{} uses {used}", file.display()));
            }
        }
        for (name, rooms) in KEPT_IN {
            let is_named = text.contains(&format!("use {name}")) || text.contains(&format!("{name}::"));
            if is_named && !rooms.contains(&room.as_str()) {
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

#[test]
fn a_figure_that_falls_short_fails_its_measurement() {
    use figures::{Asked, end, figure};
    for (asked, found, is_met) in [
        (Asked::AtMost(15.0), 15.0, true),
        (Asked::AtMost(15.0), 15.1, false),
        (Asked::AtLeast(0.9), 0.9, true),
        (Asked::AtLeast(0.9), 0.89, false),
        (Asked::AtMost(15.0), f64::NAN, false),
        (Asked::AtLeast(0.9), f64::NAN, false),
    ] {
        assert_eq!(asked.is_met_by(found), is_met, "{found} {asked}");
    }
    figure("enough", Asked::AtLeast(0.9), 0.91, "");
    assert_eq!(end(), ExitCode::SUCCESS);
    figure("too much", Asked::AtMost(15.0), 15.5, "MiB");
    figure("enough again", Asked::AtMost(15.0), 14.5, "MiB");
    assert_eq!(end(), ExitCode::FAILURE);
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
fn used_rooms(text: &str, rooms: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let names = text.split("crate::").skip(1);
    names
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>())
        .filter(|name| rooms.contains_key(name))
        .collect()
}
