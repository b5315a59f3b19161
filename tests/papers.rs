//! The papers: every command and example in them is run, in order, against the real program and the sandbox; tables that
//! come from the code say what the code says.
//!
//! Above each block of `sh` or `python` stands a comment: `run`, `not run: why`, or a name that `Session` knows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "a test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use vorhoelle::config::reference;

#[path = "papers/events.rs"]
mod events;
#[path = "papers/session.rs"]
mod session;

use session::Session;

const PAPERS: [&str; 8] = [
    "README.md",
    "ARCHITECTURE.md",
    "deploy/operating.md",
    "deploy/pipeline.md",
    "deploy/reviewing.md",
    "deploy/channels.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
];

/// A fenced block that somebody may want to run.
#[derive(Clone, Debug)]
struct Block {
    line: usize,
    language: String,
    marker: Option<String>,
    text: String,
}

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(paper: &str) -> String {
    std::fs::read_to_string(top().join(paper)).unwrap_or_else(|error| panic!("{paper}: {error}"))
}

fn blocks(paper: &str) -> Vec<Block> {
    let text = read(paper);
    let lines: Vec<&str> = text.lines().collect();
    let mut blocks = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some(language) = lines[at].trim_start().strip_prefix("```").filter(|word| !word.is_empty())
        else {
            at += 1;
            continue;
        };
        let indent = lines[at].len() - lines[at].trim_start().len();
        let inside = lines[at + 1..].iter().take_while(|line| line.trim() != "```");
        let inside: Vec<&str> = inside.map(|line| line.get(indent..).unwrap_or_default()).collect();
        let above = at.checked_sub(1).map(|above| lines[above].trim());
        let marker = above.and_then(|line| line.strip_prefix("<!-- ")?.strip_suffix(" -->"));
        blocks.push(Block {
            line: at + 1,
            language: language.to_owned(),
            marker: marker.map(str::to_owned),
            text: inside.iter().map(|line| format!("{line}\n")).collect(),
        });
        at += inside.len() + 2;
    }
    blocks
}

fn runnable(paper: &str) -> Vec<Block> {
    let mut blocks = blocks(paper);
    blocks.retain(|block| matches!(block.language.as_str(), "sh" | "python"));
    blocks
}

/// The block of a paper with this marker.
fn marked(paper: &str, marker: &str) -> Block {
    let found = runnable(paper).into_iter().find(|block| block.marker.as_deref() == Some(marker));
    found.unwrap_or_else(|| panic!("{paper} has no block `{marker}`"))
}

/// Whether what the examples call is there; where it is not, says so.
fn has(tools: &[&str]) -> bool {
    let missing: Vec<&&str> =
        tools.iter().filter(|tool| Command::new(tool).arg("--version").output().is_err()).collect();
    if !missing.is_empty() {
        eprintln!("skipped: {missing:?} are not installed");
    }
    missing.is_empty()
}

#[track_caller]
fn assert_fine(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn every_block_is_run_or_says_why_not() {
    for paper in PAPERS {
        for block in blocks(paper) {
            let place = format!("{paper}:{}", block.line);
            if block.language == "yaml" {
                let read = serde_saphyr::from_str::<serde_json::Value>(&block.text);
                assert!(read.is_ok_and(|value| value.is_object()), "{place}");
                continue;
            }
            let marker = block.marker.as_deref().unwrap_or_else(|| panic!("{place} has no comment above it"));
            let known = ["run", "serve", "erase", "receive", "verify"];
            let reason = marker.strip_prefix("not run: ").is_some_and(|reason| reason.len() > 10);
            assert!(reason || known.contains(&marker), "{place}: `{marker}`");
            // What is not run is at least right for the shell.
            if block.language == "sh" {
                assert_fine(&Command::new("sh").args(["-n", "-c", &block.text]).output().unwrap());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_paper_works_from_an_empty_project_on() {
    if !has(&["curl", "openssl", "bash"]) {
        return;
    }
    let session = Session::new().await;
    // What a person puts there by their editor.
    session.put("secrets/gitlab-token", &session.sandbox.token("bot"));
    session.put("secrets/maintainer-token", &session.sandbox.token("owner"));
    let said = session.run("deploy/operating.md", &[]).await;
    for part in [
        "would have made the label job-match/pending",
        "VORHOELLE_GITLAB_TOKEN",
        "the mirror says what GitLab says",
        "vorhoelle_matches{state=\"pending\"}",
        "gcloud --project my-project",
    ] {
        assert!(said.contains(part), "{part} in:\n{said}");
    }
    assert!(!said.contains(&session.sandbox.token("bot")), "no secret is shown:\n{said}");
    assert!(!said.lines().any(|line| line.starts_with("fail")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pipeline_authors_paper_stages_and_asks() {
    if !has(&["curl", "python3"]) {
        return;
    }
    let session = Session::new().await;
    let variables = session.settings();
    let said = session.run_beside_the_service("deploy/pipeline.md", &variables).await;
    for part in [
        "\"state\":\"pending\"",
        "created Rust Engineer",
        "below_minimum Site Reliability Engineer",
        "drafted Cloud Architect (m/w/d) AWS",
        "I have built **three** such platforms.",
    ] {
        assert!(said.contains(part), "{part} in:\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_papers_work() {
    for paper in [
        "README.md",
        "ARCHITECTURE.md",
        "deploy/reviewing.md",
        "deploy/channels.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
    ] {
        assert!(
            runnable(paper).iter().all(|block| block.marker.as_ref().unwrap().starts_with("not run")),
            "{paper}"
        );
    }
}

// --- what the papers name

/// Replaces what stands between `<!-- generated: name -->` and `<!-- /generated -->`.
fn with_table(text: &str, name: &str, table: &str) -> String {
    let begin = format!("<!-- generated: {name} -->\n");
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no table {name}"));
    let (_, after) = rest.split_once("<!-- /generated -->").unwrap();
    format!("{before}{begin}\n{table}\n<!-- /generated -->{after}")
}

#[test]
fn tables_say_what_the_code_says() {
    let paper = "deploy/operating.md";
    let text = read(paper);
    let wanted = with_table(&text, "variables", &reference::variables_table());
    let wanted = with_table(&wanted, "keys", &reference::keys_table());
    if text != wanted && std::env::var_os("PAPERS_UPDATE").is_some() {
        std::fs::write(top().join(paper), wanted).unwrap();
        return;
    }
    assert!(text == wanted, "{paper} is behind the code: PAPERS_UPDATE=yes cargo test --test papers tables");
}

/// Commands in running text are commands of the program, variables are variables, files are there.
#[test]
fn what_the_papers_name_is_there() {
    let help = Command::new(env!("CARGO_BIN_EXE_vorhoelle")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands: Vec<&str> =
        help.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()).collect();
    for paper in PAPERS {
        let text = read(paper);
        for code in text.split('`').skip(1).step_by(2).filter(|code| !code.contains('\n')) {
            if let Some(rest) = code.strip_prefix("vorhoelle ") {
                let command = rest.split_whitespace().next().unwrap();
                // The spreadsheet's commands are promised and come with their own change.
                let known = commands.contains(&command) || command == "csv" || command.starts_with('-');
                assert!(known, "{paper}: {code}");
            }
            let name = code.split(['=', ' ']).next().unwrap_or_default();
            if let Some(name) = name.strip_prefix("VORHOELLE_").filter(|name| !name.contains('…')) {
                assert!(reference::VARIABLES.iter().any(|one| one.name == name), "{paper}: {code}");
            }
            let is_path = ["deploy/", "src/", "tests/", "config/", "templates/"];
            if is_path.iter().any(|folder| code.starts_with(folder)) && !code.contains('*') {
                let path = code.split(' ').next().unwrap();
                assert!(Path::new(&top().join(path)).exists(), "{paper}: {path}");
            }
        }
    }
}
