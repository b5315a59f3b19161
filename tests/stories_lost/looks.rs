//! What people did between two looks of the service: read anew from GitLab it means what it meant when it was looked at.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Disk, World};
use super::{ENFORCED, deaf};

/// How the match stands and what its history says, as the service knows it and as it reads it anew.
async fn kept_and_read_anew(world: &mut World, iid: u64) -> [(String, Value); 2] {
    let mut told = Vec::new();
    for disk in [Disk::Kept, Disk::Wiped] {
        world.restart(disk).await;
        world.look_twice().await;
        let history = world.get(&format!("/api/v1/matches/{iid}")).await.1["history"].clone();
        told.push((world.state(iid).await, history));
    }
    told.try_into().unwrap()
}

/// Where the steps of a history led.
fn ways(history: &Value) -> Vec<&str> {
    history.as_array().unwrap().iter().map(|step| step["to"].as_str().unwrap()).collect()
}

/// Somebody moves state labels of the match, each written with its sign: `+approved`.
fn moves(world: &World, who: &str, iid: u64, labels: &[&str]) {
    let with = |sign: char| labels.iter().filter_map(move |label| label.strip_prefix(sign));
    let names = |sign: char| with(sign).map(|state| format!("job-match/{state}")).collect::<Vec<_>>();
    let (on, off) = (names('+'), names('-'));
    let (on, off): (Vec<_>, Vec<_>) =
        (on.iter().map(String::as_str).collect(), off.iter().map(String::as_str).collect());
    world.person(who).relabel(iid, &on, &off).unwrap();
}

/// Several moves, of which the service sees the outcome alone; and where they lead.
#[tokio::test]
async fn moves_that_nobody_saw_one_by_one_lead_where_they_led() {
    let away: [&[&str]; 4] =
        [&["+rejected"], &["+sent", "-approved"], &["-rejected"], &["+pending", "-sent"]];
    let (mut world, iid) = deaf(&[]).await;
    moves(&world, "reviewer", iid, &["+approved", "-pending"]);
    world.delta().await;
    world.expect(iid, "approved").await;
    for labels in away {
        moves(&world, "colleague", iid, labels);
    }
    let [kept, anew] = kept_and_read_anew(&mut world, iid).await;
    // Which steps led there and back nobody can tell any more.
    assert_eq!((kept.0.as_str(), anew.0.as_str()), ("pending", "pending"));
    world.finish().await;
}

/// The issue stays closed from the rejection on: nothing else tells that the service saw none of what came between.
#[tokio::test]
async fn from_rejected_to_sent_at_once_the_issue_stays_closed() {
    let (mut world, iid) = deaf(&[]).await;
    moves(&world, "reviewer", iid, &["+rejected", "-pending"]);
    world.delta().await;
    for labels in [["+pending", "-rejected"], ["+approved", "-pending"], ["+sent", "-approved"]] {
        moves(&world, "reviewer", iid, &labels);
    }
    assert!(!world.is_open(iid));
    let [kept, anew] = kept_and_read_anew(&mut world, iid).await;
    assert_eq!(kept.0, "sent");
    assert_eq!(anew, kept);
    world.finish().await;
}

/// One of them was not allowed, and the service says so. A decision of long before is no open one for that.
#[tokio::test]
async fn an_old_decision_stays_over_where_a_label_is_taken_back() {
    let (mut world, iid) = deaf(&[]).await;
    world.person("colleague").close(iid).unwrap();
    world.delta().await;
    world.expect(iid, "rejected").await;
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.patch(iid, &json!({"state": "approved"})).await.0, 200);
    world.clock.advance(Duration::from_secs(60));
    for labels in [&["+rejected"][..], &["+sent", "-approved"], &["-rejected"]] {
        moves(&world, "colleague", iid, labels);
    }
    world.delta().await;
    world.expect(iid, "rejected").await;
    world.expect_comment(iid, "**pipeline**");
    world.expect_comment(iid, "There is no step from `job-match/rejected` to `job-match/sent`");
    let [kept, anew] = kept_and_read_anew(&mut world, iid).await;
    assert_eq!((kept.0.as_str(), anew.0.as_str()), ("rejected", "rejected"));
    world.finish().await;
}

/// Its label was followed long ago, whoever put it on, and another step after it; put back it counts again, which is a step
/// of its own.
#[tokio::test]
async fn put_back_with_a_label_of_long_ago_is_one_more_step() {
    for by_us in [false, true] {
        let (mut world, iid) = deaf(&[]).await;
        if by_us {
            assert_eq!(world.patch(iid, &json!({"state": "rejected"})).await.0, 200);
            world.expect_comment(iid, "**pipeline**");
        } else {
            moves(&world, "reviewer", iid, &["+rejected", "-pending"]);
        }
        world.delta().await;
        moves(&world, "reviewer", iid, &["+pending"]);
        world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
        world.delta().await;
        moves(&world, "reviewer", iid, &["-pending"]);
        world.clock.advance(Duration::from_secs(60));
        world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
        world.delta().await;
        let [kept, anew] = kept_and_read_anew(&mut world, iid).await;
        assert_eq!(kept.0, "rejected");
        assert_eq!(ways(&kept.1), ["rejected", "pending", "rejected"]);
        assert_eq!(anew, kept);
        world.finish().await;
    }
}

/// A slip was put right, and the service had looked since: what is done a day later is a step from where it stood.
#[tokio::test]
async fn what_was_taken_back_long_ago_opens_no_way_after_a_lost_disk() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let (mut world, iid) = deaf(&[]).await;
        moves(&world, "reviewer", iid, &["+approved"]);
        moves(&world, "reviewer", iid, &["-approved"]);
        world.delta().await;
        world.clock.advance(Duration::from_secs(24 * 60 * 60));
        world.kill(disk).await;
        moves(&world, "reviewer", iid, &["+sent", "-pending"]);
        world.start().await;
        world.look_twice().await;
        world.expect(iid, "pending").await;
        world.expect_comment(iid, "There is no step from `job-match/pending` to `job-match/sent`");
        world.finish().await;
    }
}

/// Where they dragged it just before, that is the step, and the only one; put back or not.
#[tokio::test]
async fn what_was_dragged_just_before_a_match_was_taken_out_is_one_step() {
    let dragged = ["+rejected", "-pending"];
    for (labels, is_put_back) in [(&dragged[..], true), (&dragged, false), (&["+approved"], false)] {
        let (mut world, iid) = deaf(&[]).await;
        moves(&world, "reviewer", iid, labels);
        world.clock.advance(Duration::from_secs(60));
        world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
        world.delta().await;
        if is_put_back {
            world.clock.advance(Duration::from_secs(60));
            world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
        } else {
            world.restart(Disk::Wiped).await;
            world.delta().await;
            world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
        }
        let [kept, anew] = kept_and_read_anew(&mut world, iid).await;
        assert_eq!(kept.0, &labels[0][1..]);
        assert_eq!(kept.1.as_array().unwrap().len(), 1, "{kept:?}");
        assert_eq!(anew, kept);
        world.finish().await;
    }
}

/// A stranger puts the label back and takes it off, which nobody sees: it was and is the reviewer who withdrew the match.
#[tokio::test]
async fn a_withdrawn_match_stays_so_whatever_strangers_do_to_its_label_unseen() {
    let (mut world, iid) = deaf(&ENFORCED).await;
    world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
    world.delta().await;
    world.person("colleague").relabel(iid, &["job-match"], &[]).unwrap();
    world.person("colleague").relabel(iid, &[], &["job-match"]).unwrap();
    for disk in [Disk::Kept, Disk::Wiped] {
        world.restart(disk).await;
        world.look_twice().await;
        assert_eq!(world.state(iid).await, "none", "{disk:?}");
        assert_eq!(world.labels(iid), ["job-match/pending"], "{disk:?}");
    }
    world.finish().await;
}
