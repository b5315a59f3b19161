//! What must hold once everything has settled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::life::Past;
use crate::smtp::MailServer;
use crate::support::{World, is_allowed};

/// Every issue but that of the settings.
pub fn matches(world: &World) -> Vec<u64> {
    let gitlab = world.sandbox.world();
    let all = gitlab.issues.keys().copied();
    all.filter(|iid| !gitlab.labels_of(*iid).contains(&"job-match/settings".to_owned())).collect()
}

/// Whether an issue is another project's now.
fn is_moved(world: &World, iid: u64) -> bool {
    world.sandbox.world().issue(iid).is_some_and(|issue| issue.moved_to.is_some())
}

/// Until nothing is left to do; retries that wait get the time that they wait for.
pub async fn come_to_rest(world: &World) {
    for _ in 0..20 {
        world.clock.advance(Duration::from_secs(400));
        let read = world.engine.delta().await;
        world.settle().await;
        if read.is_ok() && world.engine.backlog() == 0 {
            world.clock.advance(Duration::from_secs(400));
            world.engine.delta().await.unwrap();
            // The longest pause of a channel or of an event, and a few digests.
            for _ in 0..4 {
                world.tell_after(75).await;
                world.outgoing.tick().await;
                world.settle().await;
            }
            return;
        }
    }
    panic!("it never comes to rest: {} issues wait", world.engine.backlog());
}

/// What must hold once everything has settled.
pub async fn check(world: &World, past: &Past, erased: &BTreeSet<u64>) {
    let iids = matches(world);
    let mut titles = BTreeMap::new();
    for iid in iids {
        let labels = world.labels(iid);
        let (status, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
        if erased.contains(&iid) {
            // Somebody may have made it a match again.
            let again = labels.contains(&"job-match".to_owned());
            // Of an issue that a person made, GitLab does not tell that it was erased.
            let is_known = past.accepted.values().any(|accepted| *accepted == iid);
            assert!(
                again || !is_known || status == StatusCode::GONE,
                "#{iid} is erased: {status} {labels:?}"
            );
            continue;
        }
        if is_moved(world, iid) {
            assert_eq!(status, StatusCode::NOT_FOUND, "#{iid} is in another project");
            continue;
        }
        if !labels.contains(&"job-match".to_owned()) {
            // Another issue of its match may have been erased, and this one with it.
            let was_removed = !world.sandbox.world().issue(iid).unwrap().title.contains("Cloud Architect");
            let is_none = status == StatusCode::NOT_FOUND || (was_removed && status == StatusCode::GONE);
            assert!(is_none, "#{iid} carries no job-match: {status}");
            continue;
        }
        assert_eq!(status, StatusCode::OK, "#{iid} is a match");
        world.expect_labels(iid, answer["state"].as_str().unwrap());
        let again = titles.insert(answer["title"].to_string(), iid);
        assert_eq!(again, None, "two issues of one match: {again:?} and {iid}");
        if !past.deleted_labels {
            check_history(world, iid, &answer, past);
        }
        // Done where they acted themselves since, but made in any case.
        let reviewer = world.sandbox.as_user("reviewer").id();
        let had = |todo: &vorhoelle::sandbox::Todo| todo.iid == iid && todo.user == reviewer;
        let was_told = !is_posted(&answer) || world.sandbox.world().todos.iter().any(had);
        assert!(was_told, "the reviewer never had a ToDo for #{iid}");
    }
    for (id, iid) in &past.accepted {
        let title = json!(format!("Cloud Architect {id}")).to_string();
        let withdrawn = is_moved(world, *iid)
            || erased.contains(iid)
            || !world.labels(*iid).contains(&"job-match".to_owned());
        assert!(withdrawn || titles.contains_key(&title), "match {id} was accepted as #{iid} and is lost");
    }
    let gitlab = world.sandbox.world();
    let fired: Vec<_> = gitlab.fired_quick_actions.iter().filter(|one| one.user == "bot").collect();
    assert!(fired.is_empty(), "{fired:?}");
}

/// Each step begins where the one before ended, and the last one ended where the match is; each is one that somebody may
/// make.
fn check_history(world: &World, iid: u64, answer: &Value, past: &Past) {
    let (history, at) = (&answer["history"], answer["state"].as_str().unwrap());
    // A row of the spreadsheet and what was made by hand begin in the state that they had.
    let begin = if is_posted(answer) { "pending" } else { history[0]["from"].as_str().unwrap_or(at) };
    let mut state = begin;
    let may_be_any = past.two_instances || was_withdrawn(world, iid) || answer["send"]["outcome"].is_string();
    for step in history.as_array().unwrap() {
        // Each instance tells the steps that it saw.
        assert!(past.two_instances || step["from"] == state, "history of #{iid}: {history}");
        let to = step["to"].as_str().unwrap();
        assert!(may_be_any || is_allowed(state, to), "a step of #{iid} that is none: {history}");
        let is_strangers = past.enforced && !past.lost_disk && step["by"] == "colleague";
        assert!(!is_strangers, "a stranger's step of #{iid}: {history}");
        state = to;
    }
    assert_eq!(at, state, "history of #{iid}: {history}");
}

/// Whether a pipeline posted it.
pub fn is_posted(answer: &Value) -> bool {
    answer["title"].as_str().unwrap().starts_with("Cloud Architect")
}

/// Whether it was no match for a while: it comes back in the state that its label says.
fn was_withdrawn(world: &World, iid: u64) -> bool {
    let gitlab = world.sandbox.world();
    let label = gitlab.label_named("job-match").map(|label| label.id);
    gitlab.label_events.iter().any(|event| event.iid == iid && event.label == label && !event.added)
}

/// Every match, as the API tells it.
pub async fn picture(world: &World, erased: &BTreeSet<u64>) -> Vec<Value> {
    let iids = matches(world);
    let mut matches = Vec::new();
    for iid in iids.into_iter().filter(|iid| !erased.contains(iid)) {
        let (_, mut answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
        // Who and when stand in GitLab too; see the story of the wiped disk. Here acts overlap.
        answer.as_object_mut().unwrap().retain(|name, _| {
            matches!(
                name.as_str(),
                "iid" | "state" | "fingerprint" | "status" | "application" | "draft" | "send"
            )
        });
        matches.push(answer);
    }
    matches
}

/// Every pending match was told of, and maybe reminded of, none more often than once and once more for each repeat that could
/// not be helped.
pub fn check_mails(world: &World, mails: &MailServer, past: &Past, erased: &BTreeSet<u64>) {
    let most = (1 + past.repeats) * if past.reminds { 2 } else { 1 };
    let texts: Vec<String> = mails
        .mails()
        .iter()
        .map(|mail| {
            let mail = mail_parser::MessageParser::default().parse(&mail.message).unwrap();
            mail.body_text(0).unwrap().replace('\r', "")
        })
        .collect();
    for iid in matches(world).into_iter().filter(|iid| !erased.contains(iid)) {
        let line = format!("/-/issues/{iid}\n");
        let times = texts.iter().filter(|text| text.contains(&line)).count();
        assert!(times <= most, "#{iid} was told of {times} times, {most} would have been right");
        let labels = world.labels(iid);
        if labels == ["job-match", "job-match/pending"] && !is_moved(world, iid) {
            assert!(times > 0, "#{iid} waits and nobody was told");
            let mut receipts = world.receipts(iid);
            receipts.retain(|receipt| !past.reminds || receipt != "alarm_clock");
            assert_eq!(receipts, ["e-mail"], "receipts of #{iid}");
        }
    }
}
