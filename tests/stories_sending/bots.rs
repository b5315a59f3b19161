//! The bot was replaced: what an earlier one wrote is read, and cannot be edited.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use vorhoelle::sandbox::{Fault, Trouble};

use super::support::{Disk, World};
use super::{break_off, desk, drafted, letter, note_with, put, send, the_match};

/// The service starts again as another user of GitLab.
async fn replaced(world: &mut World, disk: Disk) {
    let former = world.sandbox.as_user("bot").id();
    let token = world.replace_bot();
    world.kill(disk).await;
    world.set_variable("GITLAB_TOKEN", &token);
    world.set_variable("FORMER_USERS", &former.to_string());
    world.start().await;
    world.delta().await;
}

/// The comments of the new bot.
fn of_the_new_bot(world: &World, iid: u64) -> Vec<(u64, String)> {
    let new = world.sandbox.as_user("bot2").id();
    let gitlab = world.sandbox.world();
    let notes = gitlab.comments_of(iid).into_iter().filter(|note| note.author == new);
    notes.map(|note| (note.id, note.body.clone())).collect()
}

#[tokio::test]
async fn a_draft_is_written_anew_and_that_one_counts() {
    let (mut world, mails) = desk().await;
    let iid = drafted(&mut world, "1").await;
    replaced(&mut world, Disk::Kept).await;
    let path = format!("/api/v1/matches/{iid}/draft");
    let with = |body: &str| json!({"to": "clara@agency.example", "subject": "Architect", "body": body});
    // The program's own text, which nobody has edited, also where an earlier bot wrote it down.
    for body in ["second", "third"] {
        let (status, answer) = put(&world, iid, &with(body), None).await;
        assert_eq!((status, &answer["body"]), (StatusCode::OK, &json!(body)), "{answer}");
        assert_eq!(of_the_new_bot(&world, iid).len(), 1, "edited in place");
        assert_eq!(world.get(&path).await.1["body"], body);
    }
    let (note, text) = of_the_new_bot(&world, iid).remove(0);
    world.reviewer().edit_comment(iid, note, &text.replace("third", "by hand")).unwrap();
    world.restart(Disk::Wiped).await;
    world.delta().await;
    assert_eq!(world.get(&path).await.1["body"], "by hand");
    let (status, answer) = send(&world, iid, json!({})).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    world.settle().await;
    let archive = of_the_new_bot(&world, iid).remove(0).1;
    assert!(archive.contains("by hand") && archive.contains("Exactly this"), "{archive}");
    assert!(String::from_utf8_lossy(&mails.mails()[0].message).contains("by hand"));
    world.expect(iid, "sent").await;
}

#[tokio::test]
async fn where_gitlab_does_not_take_the_new_draft_the_earlier_one_is_not_said_to_be_it() {
    let (mut world, _) = desk().await;
    let iid = drafted(&mut world, "1").await;
    replaced(&mut world, Disk::Kept).await;
    let another = Value::from_iter([("subject", "Architect"), ("body", "another")]);
    world.sandbox.fault(Fault::new(Method::POST, "/notes", Trouble::CutBefore).times(9));
    assert_eq!(put(&world, iid, &another, None).await.0, StatusCode::SERVICE_UNAVAILABLE);
    world.sandbox.clear_faults();
    assert_eq!(of_the_new_bot(&world, iid), []);
    let there = world.get(&format!("/api/v1/matches/{iid}/draft")).await.1;
    assert_eq!(there["body"], letter()["body"]);
}

#[tokio::test]
async fn an_earlier_bots_draft_is_sent_and_archived_beside_it() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let (mut world, mails) = desk().await;
        let iid = drafted(&mut world, "1").await;
        replaced(&mut world, disk).await;
        let (status, answer) = send(&world, iid, json!({})).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        world.settle().await;
        let written = of_the_new_bot(&world, iid);
        assert!(written.iter().any(|(_, text)| text.contains("Exactly this")), "{written:?}");
        // Nothing is left to be said, on this disk or another.
        for disk in [Disk::Kept, Disk::Wiped] {
            world.restart(disk).await;
            world.outgoing.tick().await;
            world.settle().await;
            assert_eq!(of_the_new_bot(&world, iid), written);
            assert_eq!(world.engine.mirror().unfinished_sends().unwrap(), [0; 0]);
        }
        assert_eq!(mails.mails().len(), 1);
        world.expect(iid, "sent").await;
    }
}

/// Killed while the mail server has the message and has not answered; what became of it is told by another bot.
#[tokio::test]
async fn what_an_earlier_bot_began_to_send_is_in_doubt_and_may_be_sent_again() {
    for (disk, is_looked_at_first) in [(Disk::Kept, true), (Disk::Kept, false), (Disk::Wiped, true)] {
        let (mut world, mails) = desk().await;
        let iid = drafted(&mut world, "1").await;
        break_off(&world, &mails, iid).await;
        replaced(&mut world, disk).await;
        world.clock.advance(Duration::from_secs(200));
        if is_looked_at_first {
            assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::BAD_GATEWAY);
            note_with(&world, iid, "the service was interrupted");
            for _ in 0..2 {
                world.outgoing.tick().await;
                assert_eq!(of_the_new_bot(&world, iid).len(), 1, "it is said once");
                world.restart(Disk::Wiped).await;
            }
            assert_eq!(the_match(&world, iid).await["send"]["outcome"], "send_unknown");
        }
        assert_eq!(send(&world, iid, json!({"retry": true})).await.0, StatusCode::OK);
        world.settle().await;
        note_with(&world, iid, "stayed uncertain");
        world.expect(iid, "sent").await;
        assert_eq!(mails.mails().len(), 2);
        let written: Vec<String> = of_the_new_bot(&world, iid).into_iter().map(|(_, text)| text).collect();
        assert!(written.len() == 3 && written[0].contains("stayed uncertain"), "{written:#?}");
    }
}
