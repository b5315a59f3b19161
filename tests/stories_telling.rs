//! Stories of messages: each match once a channel, never in quiet hours, nothing lost and nothing repeated.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

#[path = "support/mailing.rs"]
mod mailing;
#[path = "support/smtp.rs"]
mod smtp;
mod support;

use std::time::Duration;

use http::Method;
use mailing::{ids, mailing, mailing_to, parsed, subjects};
use reqwest::StatusCode;
use serde_json::json;
use smtp::Mood;
use support::{Disk, job};
use vorhoelle::sandbox::{Fault, Trouble};

const ENGLISH: &str = "language: en\n";

#[tokio::test]
async fn a_new_match_is_told_once_and_its_receipt_stands_in_gitlab() {
    let (world, server) = mailing(ENGLISH).await;
    world.stage("1").await;
    world.tell().await;
    let mails = server.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(
        (mails[0].from.as_str(), mails[0].to.as_slice()),
        ("jobs@example.com", ["anna@example.com".to_owned()].as_slice())
    );
    let mail = parsed(&mails[0].message);
    assert_eq!(mail.subject(), Some("[97 %] Cloud Architect 1 – Amoria Bond"));
    let (_, answer) = world.get("/api/v1/matches/1").await;
    let issue = answer["web_url"].as_str().unwrap();
    assert!(
        mail.body_text(0).unwrap().contains(issue) && mail.body_html(0).unwrap().contains(issue),
        "{mails:?}"
    );
    assert_eq!(world.receipts(1), ["e-mail"]);
    let delivery = &answer["deliveries"][0];
    assert_eq!(
        (&delivery["channel"], &delivery["kind"], &delivery["outcome"]),
        (&json!("email"), &json!("match"), &json!("sent"))
    );
    assert!(delivery["at"].is_string());
    world.tell_after(60).await;
    assert_eq!(server.mails().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_lost_disk_repeats_nothing_and_loses_nothing() {
    let (mut world, server) = mailing(ENGLISH).await;
    world.stage("1").await;
    world.tell().await;
    world.stage("2").await;
    world.restart(Disk::Wiped).await;
    world.tell().await;
    assert_eq!(
        subjects(&server),
        ["[97 %] Cloud Architect 1 – Amoria Bond", "[97 %] Cloud Architect 2 – Amoria Bond"]
    );
    world.restart(Disk::Wiped).await;
    world.tell_after(120).await;
    assert_eq!(server.mails().len(), 2);
    world.finish().await;
}

#[tokio::test]
async fn killed_between_message_and_receipt_at_most_that_message_comes_again_with_the_same_id() {
    for (disk, times) in [(Disk::Kept, 1), (Disk::Wiped, 2)] {
        let (mut world, server) = mailing(ENGLISH).await;
        world.stage("1").await;
        world.sandbox.fault(Fault::new(Method::POST, "/award_emoji", Trouble::status(503)).times(9));
        world.tell().await;
        assert_eq!((server.mails().len(), world.receipts(1).len()), (1, 0));
        world.sandbox.clear_faults();
        world.restart(disk).await;
        world.tell_after(2).await;
        assert_eq!(server.mails().len(), times, "{disk:?}");
        let ids = ids(&server);
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(world.receipts(1), ["e-mail"]);
        world.finish().await;
    }
}

#[tokio::test]
async fn what_is_decided_before_it_was_due_is_not_sent_even_where_no_webhook_told() {
    let (world, server) = mailing("language: en\nchannels: {email: {delay: 30m}}\n").await;
    world.stage("1").await;
    world.stage("2").await;
    world.tell().await;
    assert_eq!(server.mails().len(), 0);
    let (_, answer) = world.get("/api/v1/matches/1").await;
    assert_eq!(
        (&answer["deliveries"][0]["outcome"], &answer["deliveries"][0]["reason"]),
        (&json!("deferred"), &json!("delay"))
    );
    assert_eq!(answer["deliveries"][0]["deferred_until"], "2026-11-23T08:30:00Z");
    world.sandbox.hook_mode(vorhoelle::sandbox::HookMode::Lose);
    world.reviewer().relabel(1, &["job-match/approved"], &[]).unwrap();
    world.tell_after(30).await;
    world.tell_after(1).await;
    assert_eq!(subjects(&server), ["[97 %] Cloud Architect 2 – Amoria Bond"]);
    assert!(world.receipts(1).is_empty());
}

#[tokio::test]
async fn a_digest_lists_the_best_first_and_goes_at_its_time() {
    let file = "language: en\nbatch: {mode: digest, at: [\"10:00\"]}\nquiet_hours: {from: \"22:00\", to: \"07:00\", timezone: UTC}\n";
    let (mut world, server) = mailing(file).await;
    for (id, score) in [("1", 80), ("2", 95), ("3", 88)] {
        let mut one = job(id);
        one["score"] = score.into();
        assert_eq!(world.post(&one).await.0, StatusCode::CREATED);
    }
    world.tell_after(60).await;
    let (_, answer) = world.get("/api/v1/matches/1").await;
    assert_eq!(answer["deliveries"][0]["deferred_until"], "2026-11-23T10:00:00Z");
    let (_, listed) = world.get("/api/v1/matches").await;
    assert_eq!(listed["matches"][2]["deliveries"], answer["deliveries"]);
    let (_, health) = world.get("/health").await;
    assert_eq!(
        (&health["channels"][0]["waiting"], &health["channels"][0]["held_until"]),
        (&json!(3), &json!("2026-11-23T10:00:00Z"))
    );
    assert_eq!(server.mails().len(), 0);
    // The end of a pause changes what is held, though nothing in the mirror.
    world.clock.advance(std::time::Duration::from_secs(3600));
    let (_, listed) = world.get("/api/v1/matches").await;
    assert_eq!(listed["matches"][2]["deliveries"][0]["deferred_until"], serde_json::Value::Null);
    world.tell().await;
    assert_eq!(subjects(&server), ["3 new matches, the best: [95 %] Cloud Architect 2 – Amoria Bond"]);
    let mails = server.mails();
    let text = parsed(&mails[0].message).body_text(0).unwrap().into_owned();
    let places: Vec<usize> =
        ["Architect 2", "Architect 3", "Architect 1"].map(|title| text.find(title).unwrap()).into();
    assert!(places.is_sorted(), "{text}");
    assert_eq!((world.receipts(1).len(), world.receipts(3).len()), (1, 1));
    world.expect_comment(4, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn quiet_hours_hold_all_but_the_urgent() {
    let file =
        "language: en\nquiet_hours: {from: \"07:30\", to: \"09:30\", timezone: UTC, urgent_score: 98}\n";
    let (world, server) = mailing(file).await;
    world.stage("1").await;
    let mut urgent = job("2");
    urgent["score"] = 98.into();
    world.post(&urgent).await;
    world.tell().await;
    assert_eq!(subjects(&server), ["[98 %] Cloud Architect 2 – Amoria Bond"]);
    world.tell_after(89).await;
    assert_eq!(server.mails().len(), 1);
    world.tell_after(1).await;
    assert_eq!(server.mails().len(), 2);
    world.finish().await;
}

#[tokio::test]
async fn a_first_start_with_a_backlog_is_one_digest_and_no_match_is_left_out() {
    let (mut world, server) = mailing("language: en\nremind_after: off\n").await;
    for id in 0..45 {
        world.stage(&id.to_string()).await;
    }
    world.clock.advance(std::time::Duration::from_secs(3600));
    world.restart(Disk::Wiped).await;
    world.tell().await;
    assert_eq!(server.mails().len(), 1);
    assert!(subjects(&server)[0].starts_with("20 new matches"), "{:?}", subjects(&server));
    world.tell_after(30).await;
    assert_eq!(server.mails().len(), 1);
    // The disk is lost again: the settings issue remembers when the last digest went.
    world.restart(Disk::Wiped).await;
    world.tell().await;
    assert_eq!(server.mails().len(), 1);
    world.tell_after(31).await;
    world.tell_after(61).await;
    assert_eq!(server.mails().len(), 3);
    assert!((1..=45).all(|iid| world.receipts(iid) == ["e-mail"]));
    world.expect_comment(46, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn matches_that_came_together_are_reminded_of_together() {
    let (mut world, server) = mailing(ENGLISH).await;
    let gap = Duration::from_millis(10);
    for id in ["1", "2", "3"] {
        world.stage(id).await;
        world.tell().await;
        world.clock.advance(gap);
    }
    world.clock.advance(Duration::from_secs(30 * 60));
    world.stage("half an hour later").await;
    world.tell().await;
    world.clock.advance(Duration::from_secs(60 * 60));
    world.stage("much later").await;
    world.tell().await;
    // In the moment in which the first has waited for two days.
    world.clock.advance(Duration::from_secs((48 * 60 - 90) * 60) - 3 * gap);
    world.tell().await;
    assert_eq!(subjects(&server)[5], "Reminder: 4 matches wait for your decision");
    assert_eq!(world.receipts(5), ["e-mail"]);
    world.tell_after(24 * 60).await;
    assert!(subjects(&server)[6].contains("much later"), "{:?}", subjects(&server));
    world.expect_comment(6, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn a_match_that_waits_is_reminded_of_once_in_one_message_a_day() {
    let (mut world, server) = mailing(ENGLISH).await;
    world.stage("1").await;
    world.stage("2").await;
    world.tell().await;
    world.tell_after(2 * 24 * 60).await;
    assert_eq!(subjects(&server)[2], "Reminder: 2 matches wait for your decision");
    let mails = server.mails();
    let reminder = parsed(&mails[2].message);
    let first = ids(&server)[0].clone();
    let references =
        reminder.references().as_text_list().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(references.contains(&first), "{references:?}");
    assert_eq!(world.receipts(1), ["alarm_clock", "e-mail"]);
    world.stage("3").await;
    world.tell().await;
    world.restart(Disk::Wiped).await;
    world.tell_after(2 * 24 * 60).await;
    let all = subjects(&server);
    assert_eq!(all.iter().filter(|subject| subject.starts_with("Reminder")).count(), 2, "{all:?}");
    assert!(all[4].contains("[97 %] Cloud Architect 3 – Amoria Bond waits"), "{all:?}");
    world.expect_comment(3, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn what_nobody_decides_expires_and_can_be_taken_back() {
    let (mut world, _server) =
        mailing("language: en\nexpire_after: 3d\nremind_after: off\nquiet_alarm_after: off\n").await;
    world.stage("1").await;
    world.tell_after(3 * 24 * 60).await;
    world.expect(1, "rejected").await;
    world.expect_comment(1, "not decided in time");
    let (_, answer) = world.get("/api/v1/matches/1").await;
    assert_eq!(
        (&answer["decided_by"], &answer["history"][0]["through"]),
        (&json!("service"), &json!("service"))
    );
    world.reviewer().reopen(1).unwrap();
    world.tell().await;
    world.expect(1, "pending").await;
    world.tell_after(60).await;
    world.expect(1, "pending").await;
    // From when it was taken back, which a fresh disk does not know before it has read the history.
    world.kill(Disk::Wiped).await;
    world.sandbox.fault(Fault::new(Method::GET, "/resource_label_events", Trouble::status(500)).times(4));
    world.start().await;
    let _ = world.engine.delta().await;
    world.tell().await;
    world.expect(1, "pending").await;
    world.tell_after(60).await;
    world.delta().await;
    world.tell().await;
    world.expect(1, "pending").await;
    world.tell_after(3 * 24 * 60).await;
    world.expect(1, "rejected").await;
    world.expect_comment(1, "not decided in time");
    world.finish().await;
}

#[tokio::test]
async fn what_was_decided_unheard_does_not_expire() {
    let (world, _server) =
        mailing("language: en\nexpire_after: 3d\nremind_after: off\nquiet_alarm_after: off\n").await;
    world.stage("1").await;
    world.tell_after(60).await;
    world.clock.advance(std::time::Duration::from_secs(3 * 86_400));
    // Its webhook has not been worked off yet.
    world.reviewer().relabel(1, &["job-match/approved"], &["job-match/pending"]).unwrap();
    world.notifier.tick().await;
    world.settle().await;
    world.expect(1, "approved").await;
    world.finish().await;
}

#[tokio::test]
async fn a_pipeline_that_has_gone_quiet_is_reported_once() {
    let (mut world, server) = mailing("language: en\nremind_after: off\n").await;
    world.stage("1").await;
    world.tell().await;
    world.tell_after(3 * 24 * 60 - 5).await;
    assert_eq!(server.mails().len(), 1);
    world.tell_after(5).await;
    assert_eq!(subjects(&server)[1], "No new match for 3 days");
    world.restart(Disk::Wiped).await;
    world.tell_after(24 * 60).await;
    assert_eq!(server.mails().len(), 2);
    world.stage("2").await;
    world.tell().await;
    world.tell_after(3 * 24 * 60).await;
    assert_eq!(subjects(&server)[2..], ["[97 %] Cloud Architect 2 – Amoria Bond", "No new match for 3 days"]);
    world.expect_comment(2, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn a_pipeline_that_has_never_sent_anything_is_reported_once() {
    let (mut world, server) = mailing("language: en\nremind_after: off\n").await;
    world.tell().await;
    world.tell_after(3 * 24 * 60 - 5).await;
    assert_eq!(server.mails().len(), 0);
    world.tell_after(5).await;
    assert_eq!(subjects(&server), ["No new match for 3 days"]);
    world.tell_after(4 * 24 * 60).await;
    world.restart(Disk::Wiped).await;
    world.tell_after(4 * 24 * 60).await;
    assert_eq!(server.mails().len(), 1);
    // From the first match on it is about the last one.
    world.stage("1").await;
    world.tell().await;
    world.tell_after(3 * 24 * 60).await;
    assert_eq!(subjects(&server)[1..], ["[97 %] Cloud Architect 1 – Amoria Bond", "No new match for 3 days"]);
    world.expect_comment(1, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn a_server_that_is_busy_is_tried_again_and_loses_nothing() {
    let (world, server) = mailing(ENGLISH).await;
    server.set_mood(Mood::Busy);
    world.stage("1").await;
    world.tell().await;
    let (_, health) = world.get("/health").await;
    assert_eq!(health["channels"][0]["status"], "failing");
    assert!(health["channels"][0]["error"].as_str().unwrap().contains("451"), "{health}");
    let (_, answer) = world.get("/api/v1/matches/1").await;
    assert_eq!(answer["deliveries"][0]["outcome"], "failed");
    server.set_mood(Mood::Fine);
    world.tell_after(1).await;
    assert_eq!((server.mails().len(), world.receipts(1).len()), (1, 1));
    let (_, health) = world.get("/health").await;
    assert_eq!(health["channels"][0]["status"], "ok");
    world.finish().await;
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_message_repeats_it_with_the_same_id() {
    let (world, server) = mailing(ENGLISH).await;
    server.set_mood(Mood::GoneAfterMessage);
    world.stage("1").await;
    world.tell().await;
    server.set_mood(Mood::Fine);
    world.tell_after(1).await;
    let ids = ids(&server);
    assert_eq!((ids.len(), &ids[0]), (2, &ids[1]));
    world.finish().await;
}

#[tokio::test]
async fn one_bad_address_stops_nobody_elses_mail() {
    let (mut world, server) = mailing_to(ENGLISH, "nobody@example.com,anna@example.com").await;
    server.set_mood(Mood::Picky);
    world.stage("1").await;
    world.tell().await;
    let mails = server.mails();
    assert_eq!((mails.len(), mails[0].to.as_slice()), (1, ["anna@example.com".to_owned()].as_slice()));
    assert_eq!(world.receipts(1), ["e-mail"]);
    world.expect_comment(1, "address 1 of");
    world.finish().await;
}

#[tokio::test]
async fn a_channel_that_is_given_up_is_said_once_a_day() {
    let (mut world, server) = mailing_to(ENGLISH, "nobody@example.com").await;
    server.set_mood(Mood::Picky);
    world.stage("1").await;
    world.stage("2").await;
    for _ in 0..6 {
        world.tell_after(61).await;
    }
    world.expect_comment(1, "A message by email did not arrive");
    let (_, answer) = world.get("/api/v1/matches/1").await;
    assert_eq!(answer["deliveries"][0]["outcome"], "given_up");
    assert!(answer["deliveries"][0]["reason"].as_str().unwrap().contains("VORHOELLE_MAIL_TO"), "{answer}");
    server.set_mood(Mood::Fine);
    for _ in 0..4 {
        world.tell_after(61).await;
    }
    assert_eq!((world.receipts(1).len(), world.receipts(2).len()), (1, 1));
    world.expect_comment(3, "when it last sent a digest");
    world.finish().await;
}

#[tokio::test]
async fn a_test_message_tells_each_channels_true_answer() {
    let (world, server) = mailing(ENGLISH).await;
    let (status, answer) = world.call(world.http.post(world.url("/api/v1/notify/test"))).await;
    assert_eq!((status, &answer["results"][0]["outcome"]), (StatusCode::OK, &json!("ok")), "{answer}");
    assert_eq!(subjects(&server), ["Test message from Vorhölle"]);
    server.set_mood(Mood::Busy);
    let body = json!({ "channels": ["email", "slack", "todo"] });
    let (_, answer) = world.call(world.http.post(world.url("/api/v1/notify/test")).json(&body)).await;
    let outcomes: Vec<&str> =
        answer["results"].as_array().unwrap().iter().map(|one| one["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["failed", "failed", "ok"], "{answer}");
    let (status, _) = world
        .call(world.http.post(world.url("/api/v1/notify/test")).json(&json!({"channels": ["pigeon"]})))
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    world.finish().await;
}

#[tokio::test]
async fn the_receipts_of_an_earlier_bot_count() {
    let (mut world, server) = mailing(ENGLISH).await;
    world.stage("1").await;
    world.tell().await;
    let former = world.sandbox.as_user("bot").id();
    world.kill(Disk::Wiped).await;
    let token = world.replace_bot();
    world.set_variable("GITLAB_TOKEN", &token);
    world.set_variable("FORMER_USERS", &former.to_string());
    world.restart(Disk::Wiped).await;
    world.tell_after(60).await;
    assert_eq!(server.mails().len(), 1);
}

/// What it remembers in GitLab, a new bot may not edit.
#[tokio::test]
async fn when_a_new_bot_last_told_something_is_remembered_too() {
    let (mut world, server) = mailing("language: en\nremind_after: off\n").await;
    world.tell().await;
    world.tell_after(3 * 24 * 60).await;
    assert_eq!(subjects(&server), ["No new match for 3 days"]);
    let former = world.sandbox.as_user("bot").id();
    let token = world.replace_bot();
    world.set_variable("GITLAB_TOKEN", &token);
    world.set_variable("FORMER_USERS", &former.to_string());
    world.restart(Disk::Kept).await;
    let iid = world.stage("1").await;
    world.tell().await;
    for _ in 0..2 {
        world.tell_after(3 * 24 * 60).await;
        assert_eq!(server.mails().len(), 3, "{:?}", subjects(&server));
        world.restart(Disk::Wiped).await;
    }
    let new = world.sandbox.as_user("bot2").id();
    let gitlab = world.sandbox.world();
    let remembers = gitlab.issues.keys().filter(|settings| **settings != iid);
    let written: Vec<_> = remembers.flat_map(|settings| gitlab.comments_of(*settings)).collect();
    assert_eq!(written.iter().map(|note| note.author).collect::<Vec<_>>(), [former, new]);
}

#[tokio::test]
async fn a_clock_that_jumps_loses_nothing_and_repeats_nothing() {
    for jump in [26 * 3600, -26 * 3600] {
        let (world, server) = mailing(ENGLISH).await;
        let (told, waiting) = (world.stage("1").await, world.stage("2").await);
        world.tell().await;
        world.clock_jumps(jump);
        let new = world.stage("3").await;
        world.reviewer().relabel(waiting, &["job-match/approved"], &[]).unwrap();
        world.settle().await;
        world.expect(waiting, "approved").await;
        for _ in 0..3 {
            world.tell_after(60).await;
        }
        assert_eq!(world.receipts(new), ["e-mail"], "after {jump} s");
        world.clock_jumps(-jump);
        world.delta().await;
        world.reviewer().relabel(told, &["job-match/rejected"], &[]).unwrap();
        world.settle().await;
        world.expect(told, "rejected").await;
        let last = world.stage("4").await;
        for _ in 0..3 {
            world.tell_after(60).await;
        }
        assert_eq!(world.receipts(last), ["e-mail"], "after {jump} s and back");
        let mut subjects = subjects(&server);
        subjects.retain(|subject| subject.starts_with("[97 %]"));
        assert_eq!(subjects.len(), 4, "{subjects:?}");
    }
}
