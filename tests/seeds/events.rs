//! The receiver of events: how it fares, and what it must have heard.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::StatusCode;

use crate::checks::{is_posted, matches};
use crate::dice::Dice;
use crate::life::Past;
use crate::receiver::{Event, Pipeline, Say};
use crate::support::World;

/// Lets the receiver fail for a while, or be well again.
pub fn trouble_the_receiver(dice: &mut Dice, pipeline: &Pipeline) -> String {
    let says = match dice.roll(5) {
        0 => vec![Say::Status(500); 1 + dice.roll(4)],
        1 => vec![Say::HangUp; 1 + dice.roll(2)],
        2 => vec![Say::RetryAfter(503, (1 + dice.roll(900)).to_string())],
        3 => vec![Say::Redirect(pipeline.url.clone())],
        _ => {
            pipeline.be_well();
            return "the receiver of events is well".to_owned();
        }
    };
    let said = format!("the receiver of events says {says:?}");
    pipeline.says(says);
    said
}

/// What must have been heard: each event once a disk, those of one match in their order, and after a lost disk nothing
/// again but an approval that waits for a draft, and a withdrawal; where a copy that was read lagged behind, what it lacks
/// seems to have happened since.
pub async fn check_events(world: &World, pipeline: &Pipeline, past: &Past, erased: &BTreeSet<u64>) {
    let all = pipeline.all();
    let mut taken_before: BTreeSet<String> = BTreeSet::new();
    let mut approvals: BTreeMap<(u64, String), &str> = BTreeMap::new();
    for event in all.iter().filter(|event| event.kind() == "match.approved") {
        let at = event.body()["data"]["decision"]["at"].to_string();
        let id = approvals.entry((event.iid(), at)).or_insert(&event.id);
        assert_eq!(*id, event.id, "an approval has one id, whichever disk tells of it: {}", event.raw);
    }
    let mut begin = 0;
    for end in past.wiped.iter().copied().chain([all.len()]) {
        let disk = &all[begin..end];
        check_disk(disk, erased);
        let taken = disk.iter().filter(|event| event.answered < 300);
        for event in taken {
            let again = !taken_before.insert(event.id.clone());
            let may_come_again = match event.kind().as_str() {
                "match.approved" | "match.withdrawn" => true,
                // What was erased and put back lives anew; and that a step was followed which is no label's does not show.
                _ => past.read_stale || erased.contains(&event.iid()) || is_at_no_label(&event.id),
            };
            assert!(!again || may_come_again, "{} came again: {}", event.id, event.raw);
        }
        begin = end;
    }
    let is_second =
        |iid: &u64| world.comments(*iid).iter().any(|text| text.contains("a second issue of the same match"));
    for iid in matches(world).into_iter().filter(|iid| !is_second(iid) && !erased.contains(iid)) {
        let (status, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
        if world.sandbox.as_user("bot").id() != world.sandbox.world().issue(iid).unwrap().author
            || (status == StatusCode::OK && !is_posted(&answer))
        {
            // A row of a spreadsheet that begins in another state is no news, nor what nobody saw.
            continue;
        }
        if status == StatusCode::OK && answer["state"] == "approved" && answer["draft"] == false {
            let heard = all
                .iter()
                .any(|one| one.iid() == iid && one.answered < 300 && one.kind() == "match.approved");
            assert!(heard, "#{iid} waits for a draft and the pipeline never heard of it");
        }
        // One disk that knew it all told it all: the last event leaves the match where it is.
        if !past.forgot {
            let last = all.iter().rfind(|one| one.iid() == iid && one.answered < 300);
            let last = last.unwrap_or_else(|| panic!("nobody heard of #{iid}"));
            if status == StatusCode::OK {
                assert_eq!(
                    last.body()["data"]["state"],
                    answer["state"],
                    "the last that was heard of #{iid}: {}",
                    last.raw
                );
            } else {
                let heard = all.iter().filter(|one| one.iid() == iid);
                let heard: Vec<_> = heard.map(|one| (one.kind(), one.answered)).collect();
                assert_eq!(last.kind(), "match.withdrawn", "what was heard of #{iid}: {heard:?}");
            }
        }
    }
}

/// Whether a step was made by closing or reopening: its event is named after a later label, and its own moment.
fn is_at_no_label(id: &str) -> bool {
    id.split_once("-label-").is_some_and(|(_, label)| label.contains('-'))
}

/// The deliveries of one disk.
fn check_disk(events: &[Event], erased: &BTreeSet<u64>) {
    let mut of_match: BTreeMap<u64, Vec<&Event>> = BTreeMap::new();
    // What was not told yet of an erased match is not told any more.
    for event in events.iter().filter(|event| !erased.contains(&event.iid())) {
        of_match.entry(event.iid()).or_default().push(event);
    }
    for (iid, events) in of_match {
        let mut over: BTreeSet<&str> = BTreeSet::new();
        let mut now: Option<&Event> = None;
        for event in events {
            assert!(
                !over.contains(event.id.as_str()),
                "{} of #{iid} came once more: {}",
                event.id,
                event.raw
            );
            if let Some(before) = now {
                assert_eq!(
                    before.id, event.id,
                    "#{iid}: another event before this one was taken: {}",
                    before.raw
                );
                assert_eq!(before.raw, event.raw, "a repeat says the same");
            }
            now = Some(event);
            if event.answered < 300 {
                over.insert(&event.id);
                now = None;
            }
        }
    }
}
