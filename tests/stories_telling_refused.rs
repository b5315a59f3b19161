//! Stories of a no: a message that is refused for one of its matches, a recipient who is put off, a receipt that
//! GitLab does not take.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

#[path = "support/mailing.rs"]
mod mailing;
#[path = "support/smtp.rs"]
mod smtp;
mod support;

use std::time::Duration;

use http::{Method, StatusCode};
use mail_parser::MessageParser;
use mailing::{channel, delivery, mailing, mailing_to};
use serde_json::{Value, json};
use smtp::{MailServer, Mood};
use support::{Disk, World};
use vorhoelle::sandbox::{Fault, HookMode, Trouble};

const ENGLISH: &str = "language: en\nremind_after: off\nquiet_alarm_after: off\n";
const DIGESTS: &str =
    "language: en\nremind_after: off\nquiet_alarm_after: off\nbatch: {mode: digest, every: 2h}\n";

/// How often each match stands in the mails that arrived, by its title's last word.
fn times_told(server: &MailServer, ids: &[&str]) -> Vec<usize> {
    let parsed = |message: &[u8]| MessageParser::default().parse(message).unwrap().into_owned();
    let texts: Vec<String> =
        server.mails().iter().map(|mail| parsed(&mail.message).body_text(0).unwrap().into_owned()).collect();
    let told = |id: &&str| texts.iter().filter(|text| text.contains(&format!("Architect {id} "))).count();
    ids.iter().map(told).collect()
}

fn recipients(server: &MailServer) -> Vec<String> {
    server.mails().into_iter().flat_map(|mail| mail.to).collect()
}

/// Seconds go by, and what is due is told each few of them.
async fn tell_for(world: &World, seconds: u64) {
    for _ in 0..seconds / 5 {
        world.clock.advance(Duration::from_secs(5));
        world.tell().await;
    }
}

#[tokio::test]
async fn a_digest_that_is_refused_for_one_of_its_matches_reaches_people_without_it() {
    let (mut world, server) = mailing(DIGESTS).await;
    server.set_mood(Mood::Wary);
    for id in ["1", "2-SPAM", "3", "4", "5", "6"] {
        world.stage(id).await;
    }
    world.tell_after(120).await;
    assert_eq!(server.mails().len(), 0);
    let refused = delivery(&world, 1).await;
    assert_eq!(refused["outcome"], "failed", "{refused}");
    assert!(refused["reason"].as_str().unwrap().contains("in smaller messages"), "{refused}");
    tell_for(&world, 10 * 60).await;
    let ids = ["1", "2-SPAM", "3", "4", "5", "6"];
    assert_eq!(times_told(&server, &ids), [1, 0, 1, 1, 1, 1]);
    assert_eq!(delivery(&world, 2).await["outcome"], "given_up");
    world.expect_comment(2, "this looks like spam");
    // A restart in between repeats nothing, and what is new goes although the other still waits.
    world.restart(Disk::Kept).await;
    world.stage("7").await;
    world.tell_after(120).await;
    tell_for(&world, 10 * 60).await;
    assert_eq!(times_told(&server, &["1", "2-SPAM", "7"]), [1, 0, 1]);
    server.set_mood(Mood::Fine);
    world.tell_after(120).await;
    world.tell_after(120).await;
    assert_eq!(times_told(&server, &ids), [1; 6]);
    world.expect_comment(7, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn a_match_that_is_refused_after_it_may_have_arrived_lets_others_go_past() {
    let (mut world, server) = mailing(ENGLISH).await;
    server.set_mood(Mood::GoneAfterMessage);
    world.stage("1-SPAM").await;
    world.tell().await;
    server.set_mood(Mood::Wary);
    tell_for(&world, 10).await;
    world.expect_comment(1, "this looks like spam");
    world.stage("2").await;
    tell_for(&world, 60).await;
    assert_eq!(times_told(&server, &["1-SPAM", "2"]), [1, 1]);
    world.finish().await;
}

/// GitLab answers the next receipts of a match so.
fn receipts_meet(world: &World, status: u16, times: u32) {
    let path = "issues/1/award_emoji";
    world.sandbox.fault(Fault::new(Method::POST, path, Trouble::status(status)).times(times));
}

#[tokio::test]
async fn an_odd_answer_to_a_receipt_holds_up_nothing_for_long_and_is_said() {
    for status in [409, 422] {
        let (world, server) = mailing(ENGLISH).await;
        receipts_meet(&world, status, 1);
        world.stage("1").await;
        world.tell().await;
        let health = channel(&world).await;
        assert_eq!(health["status"], "failing");
        assert!(health["error"].as_str().unwrap().contains(&status.to_string()), "{health}");
        assert!(health["next_try"].is_string(), "{health}");
        world.stage("2").await;
        tell_for(&world, 10).await;
        assert_eq!((world.receipts(1), world.receipts(2)), (vec!["e-mail".into()], vec!["e-mail".into()]));
        let health = channel(&world).await;
        assert_eq!((&health["status"], &health["error"]), (&json!("ok"), &Value::Null));
        assert_eq!(times_told(&server, &["1", "2"]), [1, 1]);
        world.finish().await;
    }
}

#[tokio::test]
async fn a_receipt_that_gitlab_refuses_for_good_is_remembered_here_and_others_go_on() {
    for status in [400, 403, 422] {
        let (mut world, server) = mailing(DIGESTS).await;
        receipts_meet(&world, status, 1_000);
        world.stage("1").await;
        world.stage("2").await;
        world.tell_after(120).await;
        assert_eq!(world.receipts(2), ["e-mail"], "the one that is refused holds up no other");
        world.stage("3").await;
        tell_for(&world, 4 * 60).await;
        assert_eq!(channel(&world).await["status"], "ok");
        assert_eq!(delivery(&world, 1).await["outcome"], "sent");
        world.tell_after(120).await;
        world.restart(Disk::Kept).await;
        world.tell_after(120).await;
        assert_eq!(times_told(&server, &["1", "2", "3"]), [1; 3]);
        world.expect_comment(4, "when it last sent a digest");
        world.finish().await;
    }
}

#[tokio::test]
async fn who_has_a_message_does_not_get_it_again_after_a_rejection_and_its_undo() {
    for tries in [1, 6] {
        let (mut world, server) = mailing_to(DIGESTS, "nobody@example.com,anna@example.com").await;
        server.set_mood(Mood::Full);
        world.stage("1").await;
        world.stage("2").await;
        world.tell_after(120).await;
        // Tried often enough, it is set aside.
        tell_for(&world, 20 * tries).await;
        assert_eq!(recipients(&server), ["anna@example.com"]);
        world.reviewer().relabel(1, &["job-match/rejected"], &["job-match/pending"]).unwrap();
        world.settle().await;
        world.tell_after(120).await;
        assert_eq!(world.receipts(1), ["e-mail"], "somebody has it");
        assert_eq!(world.receipts(2), [""; 0]);
        world.restart(Disk::Wiped).await;
        world.reviewer().reopen(1).unwrap();
        world.settle().await;
        world.expect(1, "pending").await;
        server.set_mood(Mood::Fine);
        world.tell_after(120).await;
        world.tell_after(120).await;
        assert_eq!(times_told(&server, &["1"]), [1]);
        let others = recipients(&server)[1..].to_vec();
        assert_eq!(
            others,
            ["nobody@example.com", "anna@example.com"],
            "the second match, after the lost disk"
        );
    }
}

/// An archived project answers so, for whatever is written.
#[tokio::test]
async fn receipts_that_gitlab_refuses_for_everything_are_owed_until_it_takes_them() {
    let (mut world, server) = mailing(ENGLISH).await;
    world.sandbox.fault(Fault::new(Method::POST, "award_emoji", Trouble::status(403)).times(1_000));
    world.stage("1").await;
    world.tell().await;
    world.stage("2").await;
    for _ in 0..12 {
        world.tell_after(60).await;
    }
    assert_eq!(times_told(&server, &["1", "2"]), [1, 0], "one message at a time");
    world.sandbox.clear_faults();
    world.tell_after(60).await;
    world.tell_after(1).await;
    assert_eq!((world.receipts(1), world.receipts(2)), (vec!["e-mail".into()], vec!["e-mail".into()]));
    world.restart(Disk::Wiped).await;
    world.tell_after(60).await;
    assert_eq!(times_told(&server, &["1", "2"]), [1, 1]);
    world.finish().await;
}

#[tokio::test]
async fn who_was_put_off_gets_what_only_looked_decided_for_a_moment() {
    let (mut world, server) = mailing_to(ENGLISH, "nobody@example.com,anna@example.com").await;
    server.set_mood(Mood::Full);
    world.stage("1").await;
    world.tell().await;
    assert_eq!(recipients(&server), ["anna@example.com"]);
    server.set_mood(Mood::Fine);
    world.sandbox.hook_mode(HookMode::Lose);
    // There is no such step: it is taken back once the service has looked.
    world.reviewer().relabel(1, &["job-match/sent"], &["job-match/pending"]).unwrap();
    world.clock.advance(Duration::from_secs(60));
    world.notifier.tick().await;
    assert_eq!((server.mails().len(), world.receipts(1)), (1, Vec::new()), "nothing is closed or sent");
    world.settle().await;
    world.expect_comment(1, "There is no step");
    world.expect(1, "pending").await;
    tell_for(&world, 60).await;
    assert_eq!(recipients(&server), ["anna@example.com", "nobody@example.com"]);
    assert_eq!(world.receipts(1), ["e-mail"]);
    world.finish().await;
}

async fn switch(world: &World, on: bool) {
    let change = json!({ "channels": {"email": {"enabled": on}} });
    let (status, answer) = world.call(world.http.patch(world.url("/api/v1/config")).json(&change)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    world.settle().await;
}

#[tokio::test]
async fn what_was_sent_gets_its_receipt_although_the_channel_is_switched_off_by_then() {
    let (mut world, server) = mailing(ENGLISH).await;
    receipts_meet(&world, 500, 2);
    world.stage("1").await;
    world.tell().await;
    assert_eq!((server.mails().len(), world.receipts(1)), (1, Vec::new()));
    switch(&world, false).await;
    world.stage("2").await;
    world.tell_after(1).await;
    world.tell_after(1).await;
    assert_eq!(world.receipts(1), ["e-mail"]);
    assert_eq!(server.mails().len(), 1, "the channel is off");
    world.restart(Disk::Wiped).await;
    switch(&world, true).await;
    world.tell_after(60).await;
    assert_eq!(times_told(&server, &["1", "2"]), [1, 1]);
}

/// Whom a greylist or a full mailbox puts off is tried again by itself.
#[tokio::test]
async fn a_recipient_who_is_put_off_is_tried_again_soon_and_nobody_is_troubled_with_it() {
    let (world, server) = mailing_to(ENGLISH, "nobody@example.com,anna@example.com").await;
    server.set_mood(Mood::Full);
    world.stage("1").await;
    world.tell().await;
    tell_for(&world, 60).await;
    server.set_mood(Mood::Fine);
    tell_for(&world, 60).await;
    assert_eq!(recipients(&server), ["anna@example.com", "nobody@example.com"]);
    assert_eq!(channel(&world).await["status"], "ok");
    world.finish().await;
}

#[tokio::test]
async fn a_recipient_who_gets_nothing_for_a_day_is_said_in_true_words_that_name_nobody() {
    let (mut world, server) = mailing_to(ENGLISH, "nobody@example.com,anna@example.com").await;
    server.set_mood(Mood::Full);
    world.stage("1").await;
    world.tell().await;
    for _ in 0..24 {
        assert_eq!(world.comments(1), [""; 0]);
        world.tell_after(60).await;
    }
    for _ in 0..8 {
        world.tell_after(60).await;
    }
    world.expect_comment(1, "has not reached everybody");
    let said = world.comments(1)[0].clone();
    assert!(said.contains("address 1 of") && said.contains("tried again by itself"), "{said}");
    assert!(said.contains("mailbox full") && !said.contains("nobody@"), "{said}");
    server.set_mood(Mood::Fine);
    for _ in 0..8 {
        world.tell_after(60).await;
    }
    assert_eq!(recipients(&server), ["anna@example.com", "nobody@example.com"]);
    world.finish().await;
}

#[tokio::test]
async fn a_comment_about_a_refusal_names_nobody() {
    let (mut world, server) = mailing_to(
        "language: de
",
        "nobody@example.com",
    )
    .await;
    server.set_mood(Mood::Picky);
    world.stage("1").await;
    world.tell().await;
    assert!(!world.comments(1)[0].contains("nobody@"), "{:?}", world.comments(1));
    world.expect_comment(1, "Eine Nachricht per E-Mail kam nicht an");
    world.finish().await;
}
