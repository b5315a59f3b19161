//! What was done while nobody looked means the same to a service that kept its disk and to one that has lost it.

use std::time::Duration;

use crate::support::{Difference, Disk, World};
use crate::{ENFORCED, deaf, sent_by_hand};

/// All of it was done while GitLab could not be read: the service saw three labels, followed what was allowed of it, and took
/// the others off.
#[tokio::test]
async fn steps_that_were_followed_at_once_are_the_same_after_a_lost_disk() {
    let (mut world, iid) = sent_by_hand().await;
    let second = world.person("colleague");
    world.reviewer().reopen(iid).unwrap();
    world.reviewer().relabel(iid, &["job-match/rejected"], &[]).unwrap();
    world.clock.advance(Duration::from_secs(5));
    second.relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.clock.advance(Duration::from_secs(60));
    second.close(iid).unwrap();
    world.delta().await;
    world.expect(iid, "rejected").await;
    for disk in [Disk::Kept, Disk::Wiped] {
        world.restart(disk).await;
        world.look_twice().await;
        let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
        let steps = answer["history"].as_array().unwrap().iter();
        let steps: Vec<_> =
            steps.map(|step| (step["to"].as_str().unwrap(), step["by"].as_str().unwrap())).collect();
        assert_eq!(steps[2..], [("approved", "colleague"), ("rejected", "colleague")], "{disk:?}");
    }
    world.finish().await;
}

/// A label that was the only one for a while, before the service came: what had been done until then is over.
#[tokio::test]
async fn what_people_took_back_themselves_opens_no_way_after_a_lost_disk() {
    let (mut world, iid) = deaf(&[]).await;
    for (on, off) in [
        (Some("job-match/approved"), None),
        (None, Some("job-match/approved")),
        (Some("job-match/sent"), Some("job-match/pending")),
        (Some("job-match/rejected"), None),
    ] {
        world.clock.advance(Duration::from_secs(60));
        let (on, off): (Vec<_>, Vec<_>) = (on.into_iter().collect(), off.into_iter().collect());
        world.reviewer().relabel(iid, &on, &off).unwrap();
    }
    world.delta().await;
    world.expect(iid, "rejected").await;
    for disk in [Disk::Kept, Disk::Wiped] {
        world.restart(disk).await;
        world.look_twice().await;
        let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
        let steps = answer["history"].as_array().unwrap();
        let to: Vec<_> = steps.iter().map(|step| &step["to"]).collect();
        assert_eq!(to, ["rejected"], "{disk:?}");
    }
    world.finish().await;
}

#[tokio::test]
async fn what_a_stranger_labelled_and_put_back_while_the_disk_was_lost_is_taken_back() {
    let mut world = World::set(&ENFORCED).await;
    let iid = world.stage("1").await;
    world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
    world.settle().await;
    world.kill(Disk::Wiped).await;
    let stranger = world.person("colleague");
    stranger.relabel(iid, &["job-match/approved"], &["job-match/pending"]).unwrap();
    world.clock.advance(Duration::from_secs(10));
    stranger.relabel(iid, &["job-match"], &[]).unwrap();
    world.start().await;
    world.look_twice().await;
    world.expect(iid, "pending").await;
    world.expect_comment(iid, "by colleague");
    world.finish().await;
}

/// A reviewer put it back, and a stranger took it off again before anybody looked.
#[tokio::test]
async fn what_a_stranger_withdraws_unseen_comes_back_with_and_without_a_disk() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let (mut world, iid) = deaf(&ENFORCED).await;
        world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
        world.delta().await;
        world.kill(disk).await;
        world.clock.advance(Duration::from_secs(10));
        world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
        world.clock.advance(Duration::from_secs(10));
        world.person("colleague").relabel(iid, &[], &["job-match"]).unwrap();
        world.start().await;
        world.look_twice().await;
        world.expect(iid, "pending").await;
        world.expect_comment(iid, "by colleague");
        world.finish().await;
    }
}

/// They reopened it as approved and set it to sent again, before anybody looked: the reopening is over.
#[tokio::test]
async fn a_label_that_is_set_after_a_reopening_is_the_last_word_with_and_without_a_disk() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let (mut world, iid) = sent_by_hand().await;
        world.kill(disk).await;
        world.reviewer().relabel(iid, &["job-match/approved"], &["job-match/sent"]).unwrap();
        world.clock.advance(Duration::from_secs(60));
        world.reviewer().reopen(iid).unwrap();
        world.clock.advance(Duration::from_secs(60));
        world.reviewer().relabel(iid, &["job-match/sent"], &["job-match/approved"]).unwrap();
        world.start().await;
        world.look_twice().await;
        world.expect(iid, "sent").await;
        assert!(!world.is_open(iid), "{disk:?}");
        world.finish().await;
    }
}

/// Half an hour after it was withdrawn its label was moved, and it was put back so; what came after that led nowhere.
#[tokio::test]
async fn what_was_moved_long_after_a_withdrawal_is_how_it_was_put_back() {
    let (mut world, iid) = deaf(&[]).await;
    world.reviewer().relabel(iid, &["job-match/rejected"], &[]).unwrap();
    world.delta().await;
    world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
    world.delta().await;
    world.clock.advance(Duration::from_secs(1800));
    world.reviewer().relabel(iid, &["job-match/sent"], &["job-match/rejected"]).unwrap();
    world.clock.advance(Duration::from_secs(60));
    world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
    for (on, off) in [("job-match/pending", "job-match/sent"), ("job-match/sent", "job-match/pending")] {
        world.clock.advance(Duration::from_secs(3));
        world.reviewer().relabel(iid, &[on], &[off]).unwrap();
    }
    for disk in [Disk::Kept, Disk::Wiped] {
        world.restart(disk).await;
        world.look_twice().await;
        world.expect(iid, "sent").await;
    }
    world.finish().await;
}

/// Labels that are none of ours say nothing of a match.
#[tokio::test]
async fn a_closing_counts_whatever_other_label_came_after_it() {
    for (variables, disk) in [(&[][..], Disk::Kept), (&ENFORCED[..], Disk::Kept), (&[][..], Disk::Wiped)] {
        let (mut world, iid) = deaf(variables).await;
        world.kill(disk).await;
        world.clock.advance(Duration::from_secs(60));
        world.reviewer().close(iid).unwrap();
        world.clock.advance(Duration::from_secs(60));
        world.person("colleague").relabel(iid, &["urgent"], &[]).unwrap();
        world.start().await;
        world.look_twice().await;
        assert_eq!(world.labels(iid), ["job-match", "job-match/rejected", "urgent"], "{disk:?}");
        assert!(!world.is_open(iid));
    }
}

/// What a stranger put on and took off again does not take a reviewer's closing back.
#[tokio::test]
async fn a_reviewers_closing_counts_whatever_a_stranger_did_after_it() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let (mut world, iid) = deaf(&ENFORCED).await;
        world.kill(disk).await;
        world.clock.advance(Duration::from_secs(60));
        world.reviewer().close(iid).unwrap();
        for (on, off) in [(Some("job-match/approved"), None), (None, Some("job-match/approved"))] {
            world.clock.advance(Duration::from_secs(60));
            let (on, off): (Vec<_>, Vec<_>) = (on.into_iter().collect(), off.into_iter().collect());
            world.person("colleague").relabel(iid, &on, &off).unwrap();
        }
        world.start().await;
        world.look_twice().await;
        world.expect(iid, "rejected").await;
    }
}

/// It comes back as of when it was put back, not of when it was staged.
#[tokio::test]
async fn what_was_put_back_unseen_has_the_whole_time_until_it_expires() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let file = Some("language: en\nexpire_after: 3d\nquiet_alarm_after: off\n");
        let difference = Difference { variables: ENFORCED.to_vec(), file, ..Difference::default() };
        let mut world = World::with(difference).await;
        let iid = world.stage("1").await;
        world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
        world.settle().await;
        world.kill(disk).await;
        world.clock.advance(Duration::from_secs(10 * 24 * 3600));
        world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
        world.clock.advance(Duration::from_secs(10));
        world.person("colleague").relabel(iid, &[], &["job-match"]).unwrap();
        world.start().await;
        world.look_twice().await;
        world.tell_after(5).await;
        world.expect(iid, "pending").await;
        world.expect_comment(iid, "by colleague");
        world.finish().await;
    }
}
