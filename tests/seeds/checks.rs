//! What must hold once everything has settled.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::smtp::MailServer;
use crate::support::World;

/// Every issue but that of the settings.
pub fn matches(world: &World) -> Vec<u64> {
    let gitlab = world.sandbox.world();
    let all = gitlab.issues.keys().copied();
    all.filter(|iid| !gitlab.labels_of(*iid).contains(&"job-match/settings".to_owned())).collect()
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
pub async fn check(world: &World, accepted: &BTreeMap<String, u64>) {
    let iids = matches(world);
    let mut titles = BTreeMap::new();
    for iid in iids {
        let labels = world.labels(iid);
        let (status, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
        if !labels.contains(&"job-match".to_owned()) {
            assert_eq!(status, StatusCode::NOT_FOUND, "#{iid} carries no job-match");
            continue;
        }
        assert_eq!(status, StatusCode::OK, "#{iid} is a match");
        world.expect_labels(iid, answer["state"].as_str().unwrap());
        let again = titles.insert(answer["title"].to_string(), iid);
        assert_eq!(again, None, "two issues of one match: {again:?} and {iid}");
        check_history(iid, &answer);
        // Done where they acted themselves since, but made in any case.
        let reviewer = world.sandbox.as_user("reviewer").id();
        let had = |todo: &vorhoelle::sandbox::Todo| todo.iid == iid && todo.user == reviewer;
        assert!(world.sandbox.world().todos.iter().any(had), "the reviewer never had a ToDo for #{iid}");
    }
    for (id, iid) in accepted {
        let title = json!(format!("Cloud Architect {id}")).to_string();
        let withdrawn = !world.labels(*iid).contains(&"job-match".to_owned());
        assert!(withdrawn || titles.contains_key(&title), "match {id} was accepted as #{iid} and is lost");
    }
    assert_eq!(world.sandbox.world().fired_quick_actions, []);
}

/// Each step begins where the one before ended, and the last one ended where the match is.
fn check_history(iid: u64, answer: &Value) {
    let mut state = json!("pending");
    for step in answer["history"].as_array().unwrap() {
        assert_eq!(step["from"], state, "history of #{iid}: {}", answer["history"]);
        state = step["to"].clone();
    }
    assert_eq!(answer["state"], state, "history of #{iid}: {}", answer["history"]);
}

/// Every match, as the API tells it.
pub async fn picture(world: &World) -> Vec<Value> {
    let iids = matches(world);
    let mut matches = Vec::new();
    for iid in iids {
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

/// Every pending match was told of, none more often than once and once more for each repeat that could not be helped.
pub fn check_mails(world: &World, mails: &MailServer, repeats: usize) {
    let texts: Vec<String> = mails
        .mails()
        .iter()
        .map(|mail| {
            let mail = mail_parser::MessageParser::default().parse(&mail.message).unwrap();
            mail.body_text(0).unwrap().replace('\r', "")
        })
        .collect();
    for iid in matches(world) {
        let line = format!("/-/issues/{iid}\n");
        let times = texts.iter().filter(|text| text.contains(&line)).count();
        assert!(
            times <= 1 + repeats,
            "#{iid} was told of {times} times, {repeats} repeats could not be helped"
        );
        let labels = world.labels(iid);
        if labels == ["job-match", "job-match/pending"] {
            assert!(times > 0, "#{iid} waits and nobody was told");
            assert_eq!(world.receipts(iid), ["e-mail"], "receipts of #{iid}");
        }
    }
}
