//! Where it is uncertain whether a mail left: it is said, never repeated, and a person resolves it.

use std::time::Duration;

use mail_parser::MessageParser;
use reqwest::{Method, StatusCode};
use serde_json::json;
use vorhoelle::sandbox::{Fault, HookMode, Trouble};

use super::smtp::Mood;
use super::support::Disk;
use super::{break_off, desk, drafted, letter, note_with, put, send, the_match};

#[tokio::test]
async fn an_unclear_end_is_in_doubt_until_a_person_resolves_it() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let (mut world, mails) = desk().await;
        let iid = drafted(&mut world, "1").await;
        mails.set_mood(Mood::GoneAfterMessage);
        let (status, answer) = send(&world, iid, json!({})).await;
        assert_eq!((status, &answer["title"]), (StatusCode::BAD_GATEWAY, &json!("send_unknown")), "{answer}");
        world.settle().await;
        world.expect_comment(iid, "uncertain whether the application");
        world.expect(iid, "approved").await;
        mails.set_mood(Mood::Fine);
        world.restart(disk).await;
        world.clock.advance(Duration::from_secs(3600));
        world.outgoing.tick().await;
        assert_eq!(the_match(&world, iid).await["send"]["outcome"], "send_unknown");
        let (_, health) = world.get("/health").await;
        assert_eq!(health["send_unknown"]["count"], 1, "{health}");
        assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::BAD_GATEWAY);
        assert_eq!(put(&world, iid, &letter(), Some("*")).await.0, StatusCode::CONFLICT);
        assert_eq!(mails.mails().len(), 1, "never repeated by itself");
        let (status, answer) = send(&world, iid, json!({"retry": true})).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        world.settle().await;
        world.expect_comment(iid, "sent the application");
        world.expect(iid, "sent").await;
        let ids: Vec<String> = mails.mails().iter().map(|mail| message_id(&mail.message)).collect();
        assert_eq!((ids.len(), &ids[0]), (2, &ids[1]), "mail programs show a repeat once");
        world.finish().await;
    }
}

fn message_id(message: &[u8]) -> String {
    MessageParser::default().parse(message).unwrap().message_id().unwrap().to_owned()
}

/// By the label in GitLab, or through the API; on this disk, or on a fresh one.
#[tokio::test]
async fn a_doubt_is_resolved_by_who_sets_it_to_sent_and_then_not_undone() {
    for (disk, by) in [
        (Disk::Kept, "reviewer"),
        (Disk::Wiped, "reviewer"),
        (Disk::Kept, "pipeline"),
        (Disk::Wiped, "pipeline"),
    ] {
        let (mut world, mails) = desk().await;
        let iid = drafted(&mut world, "1").await;
        mails.set_mood(Mood::GoneAfterMessage);
        assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::BAD_GATEWAY);
        note_with(&world, iid, "uncertain whether the application");
        mails.set_mood(Mood::Fine);
        if by == "reviewer" {
            world.reviewer().relabel(iid, &["job-match/sent"], &[]).unwrap();
            world.settle().await;
        } else {
            assert_eq!(world.patch(iid, &json!({"state": "sent"})).await.0, StatusCode::OK);
        }
        world.expect(iid, "sent").await;
        // What the API says does not wait for the comment.
        let said = the_match(&world, iid).await["send"].clone();
        assert_eq!((&said["outcome"], &said["resolved_by"]), (&json!("resolved"), &json!(by)), "{said}");
        if disk == Disk::Wiped {
            world.restart(disk).await;
        }
        world.outgoing.tick().await;
        world.settle().await;
        world.expect_comment(iid, &format!("**{by}** set the match to sent"));
        if by == "pipeline" {
            world.expect_comment(iid, "pipeline");
        }
        assert_eq!(the_match(&world, iid).await["send"], said);
        assert_eq!(world.get(&format!("/api/v1/matches/{iid}/draft")).await.1["send"], said);
        let (status, sent) = send(&world, iid, json!({"retry": true})).await;
        assert_eq!((status, &sent["by"], &sent["to"]), (StatusCode::OK, &json!(by), &json!(null)), "{sent}");
        let (_, health) = world.get("/health").await;
        assert_eq!(health["send_unknown"]["count"], 0);
        world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
        world.settle().await;
        world.expect(iid, "sent").await;
        world.expect_comment(iid, "no step from");
        assert_eq!(mails.mails().len(), 1);
        world.finish().await;
    }
}

/// Killed while the mail server has the message and has not answered.
#[tokio::test]
async fn killed_in_the_middle_it_is_in_doubt() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let (mut world, mails) = desk().await;
        let iid = drafted(&mut world, "1").await;
        break_off(&world, &mails, iid).await;
        world.restart(disk).await;
        note_with(&world, iid, "is being sent");
        if disk == Disk::Wiped {
            // A fresh disk cannot know that the other instance is dead before its deadlines are over.
            for order in [json!({}), json!({"retry": true})] {
                assert_eq!(send(&world, iid, order).await.0, StatusCode::CONFLICT);
            }
            assert_eq!(the_match(&world, iid).await["send"]["outcome"], "under_way");
            world.clock.advance(Duration::from_secs(200));
        }
        // The answer, the match and the comment say the same at once.
        let (status, answer) = send(&world, iid, json!({})).await;
        assert_eq!((status, &answer["title"]), (StatusCode::BAD_GATEWAY, &json!("send_unknown")), "{answer}");
        note_with(&world, iid, "the service was interrupted");
        assert_eq!(the_match(&world, iid).await["send"]["outcome"], "send_unknown");
        assert_eq!(send(&world, iid, json!({"retry": true})).await.0, StatusCode::OK);
        world.expect_comment(iid, "stayed uncertain");
        world.settle().await;
        world.expect_comment(iid, "sent the application");
        world.expect(iid, "sent").await;
        assert_eq!(mails.mails().len(), 2);
        world.finish().await;
    }
}

/// The attempt's comment is written, then nothing can be read or written any more.
#[tokio::test]
async fn killed_before_the_mail_it_is_in_doubt_and_none_left() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let (mut world, mails) = desk().await;
        let iid = drafted(&mut world, "1").await;
        world.sandbox.fault(Fault::new(Method::GET, "/notes", Trouble::CutBefore).after(2).times(50));
        world.sandbox.fault(Fault::new(Method::PUT, "/notes/", Trouble::CutBefore).times(50));
        let (status, _) = send(&world, iid, json!({})).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        world.sandbox.clear_faults();
        world.restart(disk).await;
        world.outgoing.tick().await;
        assert!(mails.mails().is_empty());
        if disk == Disk::Kept {
            // This disk knows that nothing left.
            world.expect_comment(iid, "was withdrawn");
            assert_eq!(the_match(&world, iid).await["send"], json!(null));
            assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::OK);
        } else {
            note_with(&world, iid, "is being sent");
            assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::CONFLICT);
            world.clock.advance(Duration::from_secs(200));
            assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::BAD_GATEWAY);
            assert_eq!(send(&world, iid, json!({"retry": true})).await.0, StatusCode::OK);
            world.expect_comment(iid, "stayed uncertain");
        }
        world.settle().await;
        world.expect_comment(iid, "sent the application");
        assert_eq!(mails.mails().len(), 1);
        world.finish().await;
    }
}

/// The mail has left and its comment cannot say so.
#[tokio::test]
async fn killed_after_the_mail_it_is_sent_or_in_doubt_and_never_repeated() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let (mut world, mails) = desk().await;
        let iid = drafted(&mut world, "1").await;
        world.sandbox.fault(Fault::new(Method::PUT, "/notes/", Trouble::CutBefore).times(50));
        assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::OK);
        assert_eq!(mails.mails().len(), 1);
        world.sandbox.clear_faults();
        world.restart(disk).await;
        if disk == Disk::Kept {
            world.outgoing.tick().await;
            world.settle().await;
            world.expect_comment(iid, "sent the application");
            world.expect(iid, "sent").await;
            note_with(&world, iid, "Exactly this was sent");
            assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::OK);
        } else {
            note_with(&world, iid, "is being sent");
            world.clock.advance(Duration::from_secs(200));
            assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::BAD_GATEWAY);
            world.reviewer().relabel(iid, &["job-match/sent"], &[]).unwrap();
            world.settle().await;
            world.expect(iid, "sent").await;
            world.outgoing.tick().await;
            world.expect_comment(iid, "**reviewer** set the match to sent");
        }
        assert_eq!(mails.mails().len(), 1);
        world.finish().await;
    }
}

/// The outcome stands in the comment, the label is not on.
#[tokio::test]
async fn killed_before_the_label_it_is_completed() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let (mut world, mails) = desk().await;
        let iid = drafted(&mut world, "1").await;
        world
            .sandbox
            .fault(Fault::new(Method::PUT, &format!("/issues/{iid}"), Trouble::CutBefore).after(1).times(50));
        let (status, answer) = send(&world, iid, json!({})).await;
        assert_eq!((status, &answer["state"]), (StatusCode::OK, &json!("approved")), "{answer}");
        world.sandbox.clear_faults();
        world.restart(disk).await;
        world.outgoing.tick().await;
        world.settle().await;
        world.expect(iid, "sent").await;
        world.expect_comment(iid, "sent the application");
        note_with(&world, iid, "Exactly this was sent");
        let answer = the_match(&world, iid).await;
        let step = answer["history"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((&step["to"], &step["by"]), (&json!("sent"), &json!("pipeline")));
        assert_eq!(mails.mails().len(), 1);
        world.finish().await;
    }
}

/// The label is not on, the disk is lost, and somebody closes the issue before what was written down is read again.
#[tokio::test]
async fn what_has_left_is_sent_though_people_act_before_a_lost_disk_knows_of_it() {
    let (mut world, _mails) = desk().await;
    let iid = drafted(&mut world, "1").await;
    let label = Fault::new(Method::PUT, &format!("/issues/{iid}"), Trouble::CutBefore);
    world.sandbox.fault(label.after(1).times(50));
    assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::OK);
    world.kill(Disk::Wiped).await;
    world.sandbox.clear_faults();
    world.sandbox.fault(Fault::new(Method::GET, "/resource_label_events", Trouble::status(500)).times(50));
    world.start().await;
    world.delta().await;
    world.sandbox.clear_faults();
    world.reviewer().close(iid).unwrap();
    world.settle().await;
    world.expect(iid, "sent").await;
    world.expect_comment(iid, "sent the application");
    note_with(&world, iid, "Draft");
}

/// The bot's membership ran out for a moment, or a proxy answered: what is certain stays so until GitLab knows it.
#[tokio::test]
async fn one_answer_that_the_comment_is_not_there_makes_no_doubt() {
    for is_label_refused in [false, true] {
        let (mut world, mails) = desk().await;
        let iid = drafted(&mut world, "1").await;
        world.sandbox.fault(Fault::new(Method::PUT, "/notes/", Trouble::status(404)));
        if is_label_refused {
            let refused = Fault::new(Method::PUT, &format!("/issues/{iid}"), Trouble::status(404));
            world.sandbox.fault(refused.after(1).times(9));
        }
        let (status, answer) = send(&world, iid, json!({})).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        world.sandbox.clear_faults();
        world.clock.advance(Duration::from_secs(60));
        world.outgoing.tick().await;
        world.restart(Disk::Wiped).await;
        world.outgoing.tick().await;
        world.settle().await;
        world.expect(iid, "sent").await;
        let answer = the_match(&world, iid).await;
        assert_eq!(answer["send"]["outcome"], "sent", "{answer}");
        assert_eq!(answer["history"].as_array().unwrap().last().unwrap()["by"], "pipeline");
        assert_eq!(mails.mails().len(), 1);
        world.expect_comment(iid, "sent the application");
        note_with(&world, iid, "Exactly this was sent");
    }
}

/// Neither the comment nor the label tells of it yet: the disk alone knows that the mail left.
#[tokio::test]
async fn nobody_decides_between_the_mail_and_its_label() {
    let (mut world, _mails) = desk().await;
    let iid = drafted(&mut world, "1").await;
    world.sandbox.fault(Fault::new(Method::PUT, "/notes/", Trouble::bad_gateway()).times(50));
    let (status, answer) = send(&world, iid, json!({})).await;
    assert_eq!((status, &answer["state"]), (StatusCode::OK, &json!("approved")), "{answer}");
    world.sandbox.clear_faults();
    let (status, answer) = world.patch(iid, &json!({"state": "pending"})).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    world.expect(iid, "sent").await;
    world.outgoing.tick().await;
    world.expect_comment(iid, "sent the application");
    world.finish().await;
}

#[tokio::test]
async fn what_has_left_stays_sent_whatever_is_done_while_it_is_withdrawn() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let (mut world, _mails) = desk().await;
        let iid = drafted(&mut world, "1").await;
        assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::OK);
        world.expect_comment(iid, "sent the application");
        world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
        world.settle().await;
        world.reviewer().relabel(iid, &["job-match/approved"], &["job-match/sent"]).unwrap();
        if disk == Disk::Wiped {
            world.kill(disk).await;
        }
        world.reviewer().relabel(iid, &["job-match"], &[]).unwrap();
        if disk == Disk::Wiped {
            world.start().await;
        }
        world.settle().await;
        world.delta().await;
        world.expect(iid, "sent").await;
        world.expect_comment(iid, "There is no step from `job-match/sent` to `job-match/approved`");
        let history = the_match(&world, iid).await["history"].clone();
        assert_eq!(history.as_array().unwrap().last().unwrap()["to"], "sent", "{history}");
        world.finish().await;
    }
}

#[tokio::test]
async fn after_a_lost_disk_what_has_left_stays_sent_though_its_history_is_not_read_yet() {
    let (mut world, _mails) = desk().await;
    let iid = drafted(&mut world, "1").await;
    assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::OK);
    world.expect_comment(iid, "sent the application");
    world.kill(Disk::Wiped).await;
    world
        .sandbox
        .fault(Fault::new(Method::GET, &format!("/issues/{iid}/notes"), Trouble::status(500)).times(100));
    world.start().await;
    world.delta().await;
    assert_eq!(world.get("/api/v1/decisions").await.0, StatusCode::SERVICE_UNAVAILABLE, "it is not read yet");
    world.sandbox.clear_faults();
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    world.expect(iid, "sent").await;
    world.expect_comment(iid, "There is no step from `job-match/sent` to `job-match/approved`");
    assert_eq!(world.get("/api/v1/decisions").await.0, StatusCode::OK);
    world.finish().await;
}

#[tokio::test]
async fn a_step_back_from_sent_counts_though_a_send_begins_at_that_very_moment() {
    let (mut world, mails) = desk().await;
    let iid = drafted(&mut world, "1").await;
    world.reviewer().relabel(iid, &["job-match/sent"], &[]).unwrap();
    world.settle().await;
    world.clock.advance(Duration::from_secs(1));
    world.reviewer().relabel(iid, &["job-match/approved"], &["job-match/sent"]).unwrap();
    world.settle().await;
    mails.set_mood(Mood::GoneAfterMessage);
    // The stepped clock stands still between the two.
    let order = world.http.post(world.url(&format!("/api/v1/matches/{iid}/send"))).json(&json!({}));
    assert_eq!(world.call(order).await.0, StatusCode::BAD_GATEWAY);
    world.settle().await;
    world.expect_comment(iid, "uncertain whether the application");
    world.expect(iid, "approved").await;
    world.restart(Disk::Wiped).await;
    world.expect(iid, "approved").await;
    assert_eq!(the_match(&world, iid).await["send"]["outcome"], "send_unknown");
    world.finish().await;
}

/// From now on the disk takes no word of a mail that left.
const FULL: &str = "
    CREATE TRIGGER no_attempt BEFORE INSERT ON attempts BEGIN SELECT RAISE(FAIL, 'the disk is full'); END;
    CREATE TRIGGER no_match BEFORE INSERT ON matches WHEN NEW.attempt = 'sent'
        BEGIN SELECT RAISE(FAIL, 'the disk is full'); END;";
const ROOM: &str = "DROP TRIGGER no_attempt; DROP TRIGGER no_match;";

#[tokio::test]
async fn a_disk_that_fails_once_the_mail_has_left_makes_no_doubt() {
    let (mut world, mails) = desk().await;
    let iid = drafted(&mut world, "1").await;
    world.spoil_mirror(FULL);
    let (status, answer) = send(&world, iid, json!({})).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    note_with(&world, iid, "sent the application");
    world.spoil_mirror(ROOM);
    world.settle().await;
    world.expect(iid, "sent").await;
    let (status, answer) = send(&world, iid, json!({})).await;
    assert_eq!((status, mails.mails().len()), (StatusCode::OK, 1), "{answer}");
    assert_eq!(the_match(&world, iid).await["send"]["outcome"], "sent");
    world.expect_comment(iid, "sent the application");
    world.finish().await;
}

#[tokio::test]
async fn where_neither_gitlab_nor_the_disk_can_be_told_that_it_left_it_is_in_doubt() {
    let (mut world, mails) = desk().await;
    let iid = drafted(&mut world, "1").await;
    world.spoil_mirror(FULL);
    world.sandbox.fault(Fault::new(Method::PUT, "/notes/", Trouble::status(500)).times(100));
    let (status, answer) = send(&world, iid, json!({})).await;
    assert_eq!((status, &answer["title"]), (StatusCode::BAD_GATEWAY, &json!("send_unknown")), "{answer}");
    world.spoil_mirror(ROOM);
    world.sandbox.clear_faults();
    world.settle().await;
    let (status, answer) = send(&world, iid, json!({})).await;
    assert_eq!((status, &answer["title"]), (StatusCode::BAD_GATEWAY, &json!("send_unknown")), "{answer}");
    world.expect_comment(iid, "uncertain whether the application");
    world.expect(iid, "approved").await;
    assert_eq!(mails.mails().len(), 1, "never repeated by itself");
    world.finish().await;
}

/// A label that was on for a moment, while the service did not look, settles no doubt.
#[tokio::test]
async fn set_to_sent_and_back_unseen_it_is_in_doubt_as_before() {
    let (mut world, mails) = desk().await;
    let iid = drafted(&mut world, "1").await;
    mails.set_mood(Mood::GoneAfterMessage);
    assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::BAD_GATEWAY);
    world.expect_comment(iid, "uncertain whether the application");
    mails.set_mood(Mood::Fine);
    world.sandbox.hook_mode(HookMode::Lose);
    world.reviewer().relabel(iid, &["job-match/sent"], &["job-match/approved"]).unwrap();
    world.reviewer().relabel(iid, &["job-match/approved"], &["job-match/sent"]).unwrap();
    for disk in [Disk::Kept, Disk::Wiped] {
        world.restart(disk).await;
        world.delta().await;
        world.expect(iid, "approved").await;
        assert_eq!(the_match(&world, iid).await["send"]["outcome"], "send_unknown");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_repetition_that_gitlab_is_not_told_of_is_none() {
    let (mut world, mails) = desk().await;
    let iid = drafted(&mut world, "1").await;
    mails.set_mood(Mood::GoneAfterMessage);
    assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::BAD_GATEWAY);
    mails.set_mood(Mood::Fine);
    world.sandbox.fault(Fault::new(Method::PUT, "/notes/", Trouble::status(500)).times(9));
    assert_eq!(send(&world, iid, json!({"retry": true})).await.0, StatusCode::SERVICE_UNAVAILABLE);
    world.sandbox.clear_faults();
    // Who does not say that they have looked is told once more.
    assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::BAD_GATEWAY);
    assert_eq!(mails.mails().len(), 1);
    assert_eq!(send(&world, iid, json!({"retry": true})).await.0, StatusCode::OK);
    assert_eq!(mails.mails().len(), 2);
}

/// GitLab heard that it is repeated, and its answer got lost: this disk, which remembers the doubt, knows less.
#[tokio::test]
async fn a_repetition_that_gitlab_knows_of_is_not_taken_back_by_what_this_disk_remembers() {
    let (mut world, mails) = desk().await;
    let iid = drafted(&mut world, "1").await;
    mails.set_mood(Mood::GoneAfterMessage);
    world.sandbox.fault(Fault::new(Method::PUT, "/notes/", Trouble::bad_gateway()).times(9));
    assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::BAD_GATEWAY);
    mails.set_mood(Mood::Fine);
    world.sandbox.clear_faults();
    world.sandbox.fault(Fault::new(Method::PUT, "/notes/", Trouble::CutBody).after(1).times(9));
    assert_eq!(send(&world, iid, json!({"retry": true})).await.0, StatusCode::SERVICE_UNAVAILABLE);
    world.kill(Disk::Kept).await;
    world.sandbox.clear_faults();
    world.start().await;
    world.delta().await;
    world.clock.advance(Duration::from_secs(400));
    world.outgoing.tick().await;
    let before = the_match(&world, iid).await["send"].clone();
    world.restart(Disk::Wiped).await;
    world.look_twice().await;
    assert_eq!(the_match(&world, iid).await["send"], before);
    assert_eq!(mails.mails().len(), 1);
    note_with(&world, iid, "somebody had it repeated");
}
