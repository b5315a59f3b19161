//! Stories: a draft that people edit, and the application that leaves once, whatever happens in between.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

#[path = "stories_sending/bots.rs"]
mod bots;
#[path = "stories_sending/doubt.rs"]
mod doubt;
#[path = "stories_sending/drafts.rs"]
mod drafts;
#[path = "support/smtp.rs"]
mod smtp;
mod support;
#[path = "stories_sending/twice.rs"]
mod twice;

use std::time::Duration;

use mail_parser::{MessageParser, MimeHeaders as _};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use smtp::{MailServer, Mood};
use support::{Difference, Disk, World, job};
use vorhoelle::domain::history::Through;
use vorhoelle::outgoing::SendRequest;
use vorhoelle::sandbox::{Fault, HookMode, Trouble};

/// A world with a mail server; nothing but applications is mailed.
async fn desk() -> (World, MailServer) {
    let mails = MailServer::start(false).await;
    let address: &'static str = Box::leak(format!("smtp://{}", mails.address).into_boxed_str());
    let variables = vec![
        ("SMTP_URL", address),
        ("MAIL_FROM", "Anna <jobs@example.com>"),
        ("MAIL_TO", "anna@example.com"),
    ];
    let world = World::with(Difference { variables, ..Difference::default() }).await;
    (world, mails)
}

fn letter() -> Value {
    json!({
        "to": "Clara <clara@agency.example>",
        "subject": "Cloud Architect – R & D #1",
        "body": "Dear Clara,\n\nI bring **ten years** of AWS, see [my site](https://anna.example).\n\n- @all\n/close\n\nKind regards,\nAnna",
    })
}

async fn approved(world: &World, id: &str) -> u64 {
    let iid = world.stage(id).await;
    world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    iid
}

async fn put(world: &World, iid: u64, body: &Value, if_match: Option<&str>) -> (StatusCode, Value) {
    let mut request = world.http.put(world.url(&format!("/api/v1/matches/{iid}/draft"))).json(body);
    if let Some(tag) = if_match {
        request = request.header("if-match", tag);
    }
    world.call(request).await
}

async fn send(world: &World, iid: u64, body: Value) -> (StatusCode, Value) {
    world.clock.advance(Duration::from_secs(1));
    world.call(world.http.post(world.url(&format!("/api/v1/matches/{iid}/send"))).json(&body)).await
}

/// Approved and with a draft.
async fn drafted(world: &mut World, id: &str) -> u64 {
    let iid = approved(world, id).await;
    let (status, answer) = put(world, iid, &letter(), None).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    world.settle().await;
    world.expect_comment(iid, "Draft of the application");
    iid
}

/// Begins to send and stops once the mail server has the message and has not answered.
async fn break_off(world: &World, mails: &MailServer, iid: u64) {
    mails.set_mood(Mood::SilentAfterMessage);
    let outgoing = world.outgoing.clone();
    let sending =
        tokio::spawn(async move { outgoing.send(iid, SendRequest::default(), "anna", Through::Api).await });
    while mails.mails().is_empty() {
        tokio::task::yield_now().await;
    }
    sending.abort();
    mails.set_mood(Mood::Fine);
}

/// The comment of ours that holds this.
fn note_with(world: &World, iid: u64, part: &str) -> (u64, String) {
    let gitlab = world.sandbox.world();
    let notes = gitlab.comments_of(iid);
    let note = notes.iter().find(|note| note.body.contains(part));
    let note = note.unwrap_or_else(|| panic!("no comment with `{part}` in {notes:#?}"));
    (note.id, note.body.clone())
}

async fn the_match(world: &World, iid: u64) -> Value {
    world.get(&format!("/api/v1/matches/{iid}")).await.1
}

#[tokio::test]
async fn a_draft_is_put_edited_by_people_sent_and_archived() {
    let (mut world, mails) = desk().await;
    world.sandbox.world().files.insert("cv/Lebens lauf.pdf".into(), b"%PDF".to_vec());
    let reviewer = world.sandbox.as_user("reviewer").id();
    world.sandbox.world().users.iter_mut().find(|user| user.id == reviewer).unwrap().public_email =
        "anna@public.example".into();
    let iid = approved(&world, "1").await;
    let mut with_file = letter();
    with_file["attachments"] = json!(["cv/Lebens lauf.pdf"]);
    let (status, draft) = put(&world, iid, &with_file, None).await;
    assert_eq!(status, StatusCode::CREATED, "{draft}");
    for (name, value) in with_file.as_object().unwrap() {
        assert_eq!(draft[name], *value, "{name} reads back as it was put");
    }
    let (_, read) = world.get(&format!("/api/v1/matches/{iid}/draft")).await;
    assert_eq!(read, draft);
    world.settle().await;
    assert_eq!(world.sandbox.world().fired_quick_actions, []);
    // People edit plain Markdown in GitLab.
    let (note, body) = note_with(&world, iid, "Draft of the application");
    let edited =
        body.replace("ten years", "twelve years").replace("- **Subject:** ", "- **Subject:** Application: ");
    world.reviewer().edit_comment(iid, note, &edited).unwrap();
    world.settle().await;
    let (_, read) = world.get(&format!("/api/v1/matches/{iid}/draft")).await;
    assert!(read["body"].as_str().unwrap().contains("**twelve years**"), "{read}");
    assert_ne!(read["etag"], draft["etag"]);
    // Nobody's edit is overwritten unseen.
    let old = draft["etag"].as_str().unwrap();
    assert_eq!(put(&world, iid, &letter(), None).await.0, StatusCode::PRECONDITION_REQUIRED);
    assert_eq!(
        put(&world, iid, &letter(), Some(&format!("\"{old}\""))).await.0,
        StatusCode::PRECONDITION_FAILED
    );
    assert!(mails.mails().is_empty(), "nothing leaves without an order");

    let (status, sent) = send(&world, iid, json!({})).await;
    assert_eq!(
        (status, &sent["outcome"], &sent["state"]),
        (StatusCode::OK, &json!("sent"), &json!("sent")),
        "{sent}"
    );
    world.settle().await;
    world.expect(iid, "sent").await;
    world.expect_comment(iid, "Sent");
    world.expect_comment(iid, "**pipeline** sent the application to clara");
    let mails_now = mails.mails();
    assert_eq!(mails_now.len(), 1);
    assert_eq!(mails_now[0].to, ["clara@agency.example"]);
    let mail = MessageParser::default().parse(&mails_now[0].message).unwrap();
    assert_eq!(mail.subject(), Some("Application: Cloud Architect – R & D #1"));
    assert_eq!(format!("<{}>", mail.message_id().unwrap()), sent["message_id"].as_str().unwrap());
    let answers = mail.reply_to().unwrap().first().unwrap().address().unwrap().to_owned();
    assert_eq!(answers, "anna@public.example");
    let text = mail.body_text(0).unwrap();
    assert!(text.contains("twelve years of AWS, see my site (https://anna.example)"), "{text}");
    assert!(text.contains("@all") && !text.contains('\u{2060}'), "{text}");
    let html = mail.body_html(0).unwrap();
    assert!(html.contains("<strong>twelve years</strong>"), "{html}");
    let attachment = mail.attachment(0).unwrap();
    assert_eq!(attachment.attachment_name(), Some("Lebens lauf.pdf"));
    assert_eq!(attachment.contents(), b"%PDF");
    let (_, archive) = note_with(&world, iid, "Exactly this was sent");
    assert!(archive.contains("twelve years") && archive.contains("Message-ID"), "{archive}");

    // Once is enough; the step back is closed; who and through what stands in the history.
    assert_eq!(send(&world, iid, json!({})).await, (StatusCode::OK, sent.clone()));
    let answer = the_match(&world, iid).await;
    assert_eq!(answer["allowed_states"], json!([]));
    assert_eq!(answer["send"]["outcome"], "sent");
    let step = answer["history"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&step["to"], &step["by"], &step["through"]),
        (&json!("sent"), &json!("pipeline"), &json!("api"))
    );
    assert_eq!(world.patch(iid, &json!({"state": "approved"})).await.0, StatusCode::CONFLICT);
    assert_eq!(put(&world, iid, &letter(), Some("*")).await.0, StatusCode::CONFLICT);
    // A fresh machine knows it all.
    world.restart(Disk::Wiped).await;
    assert_eq!(the_match(&world, iid).await["send"], answer["send"]);
    assert_eq!(the_match(&world, iid).await["history"], answer["history"]);
    assert_eq!(send(&world, iid, json!({"retry": true})).await.0, StatusCode::OK);
    world.reviewer().reopen(iid).unwrap();
    world.settle().await;
    world.expect(iid, "sent").await;
    world.expect_comment(iid, "no step from");
    assert_eq!(mails.mails().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn nothing_is_sent_without_approval_draft_recipient_or_way() {
    let (mut world, mails) = desk().await;
    let pending = world.stage("pending").await;
    assert_eq!(put(&world, pending, &letter(), None).await.0, StatusCode::CREATED);
    world.settle().await;
    world.expect_comment(pending, "Draft");
    assert_eq!(send(&world, pending, json!({})).await.0, StatusCode::CONFLICT);
    let bare = approved(&world, "bare").await;
    assert_eq!(send(&world, bare, json!({})).await.0, StatusCode::CONFLICT);
    let nobody = json!({"subject": "x", "body": "y"});
    assert_eq!(put(&world, bare, &nobody, None).await.0, StatusCode::CREATED);
    world.expect_comment(bare, "Draft");
    let (status, answer) = send(&world, bare, json!({})).await;
    assert_eq!(
        (status, &answer["errors"][0]["field"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("to")),
        "{answer}"
    );
    let mut wrong = job("wrong");
    wrong["contact"] = json!({"name": "Clara", "email": "clara at agency"});
    let (_, answer) = world.post(&wrong).await;
    let wrong = answer["iid"].as_u64().unwrap();
    world.reviewer().relabel(wrong, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    assert_eq!(put(&world, wrong, &nobody, None).await.0, StatusCode::CREATED);
    world.expect_comment(wrong, "Draft");
    let (status, answer) = send(&world, wrong, json!({})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer["errors"][0]["field"], "contact.email", "{answer}");
    assert_eq!(send(&world, bare, json!({"retri": true})).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(send(&world, 999, json!({})).await.0, StatusCode::NOT_FOUND);
    // The label set by a person mails nobody, draft or not, and may be taken back.
    world.reviewer().relabel(bare, &["job-match/sent"], &[]).unwrap();
    world.settle().await;
    world.expect(bare, "sent").await;
    assert_eq!(send(&world, bare, json!({})).await.1["to"], json!(null));
    world.reviewer().relabel(bare, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    world.expect(bare, "approved").await;
    world.outgoing.tick().await;
    assert!(mails.mails().is_empty());
    world.finish().await;
    let mut world = World::new().await;
    let iid = drafted(&mut world, "1").await;
    let (status, answer) = send(&world, iid, json!({})).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer["detail"].as_str().unwrap().contains("VORHOELLE_SMTP_URL"), "{answer}");
    world.finish().await;
}

/// One role at one client, approved and drafted through each of two agencies.
async fn through_two_agencies(world: &mut World) -> Vec<u64> {
    let mut iids = Vec::new();
    for agency in ["Alpha", "Beta"] {
        let mut one = job(agency);
        one["title"] = json!("Cloud Architect");
        one["end_client"] = json!("Acme Bank");
        one["agency"] = json!(agency);
        let iid = world.post(&one).await.1["iid"].as_u64().unwrap();
        world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
        world.settle().await;
        assert_eq!(put(world, iid, &letter(), None).await.0, StatusCode::CREATED);
        world.expect_comment(iid, "Draft");
        iids.push(iid);
    }
    iids
}

#[tokio::test]
async fn a_possible_duplicate_needs_a_reason() {
    let (mut world, mails) = desk().await;
    let iids = through_two_agencies(&mut world).await;
    assert_eq!(send(&world, iids[0], json!({})).await.0, StatusCode::OK);
    world.expect_comment(iids[0], "sent the application");
    let (status, answer) = send(&world, iids[1], json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(answer["detail"].as_str().unwrap().contains(&format!("#{}", iids[0])), "{answer}");
    // That it is withdrawn takes no mail back, nor that its issue is gone.
    world.reviewer().relabel(iids[0], &[], &["job-match"]).unwrap();
    world.settle().await;
    assert_eq!(send(&world, iids[1], json!({})).await.0, StatusCode::CONFLICT);
    world.sandbox.as_user("owner").delete_issue(iids[0]).unwrap();
    world.delta().await;
    assert_eq!(send(&world, iids[1], json!({})).await.0, StatusCode::CONFLICT);
    assert_eq!(send(&world, iids[1], json!({"override": " "})).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, sent) = send(&world, iids[1], json!({"override": "they agreed @all"})).await;
    assert_eq!((status, &sent["override"]), (StatusCode::OK, &json!("they agreed @all")), "{sent}");
    world.expect_comment(iids[1], "although there is a possible duplicate");
    world.restart(Disk::Wiped).await;
    assert_eq!(the_match(&world, iids[1]).await["send"]["override"], "they agreed @all");
    assert_eq!(mails.mails().len(), 2);
    world.finish().await;
}

/// A mail cannot be taken back, and no webhook has told of the label yet.
#[tokio::test]
async fn a_duplicate_that_a_person_has_just_sent_counts_though_nobody_heard_of_it() {
    let (mut world, mails) = desk().await;
    let iids = through_two_agencies(&mut world).await;
    world.sandbox.hook_mode(HookMode::Lose);
    world.reviewer().relabel(iids[0], &["job-match/sent"], &["job-match/approved"]).unwrap();
    let (status, answer) = send(&world, iids[1], json!({})).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains(&format!("#{}", iids[0])), "{answer}");
    assert_eq!(mails.mails().len(), 0);
    world.delta().await;
    world.finish().await;
}

/// What is not in order is laid aside by the first read, and may be gone when its turn comes.
#[tokio::test]
async fn a_possible_duplicate_that_is_gone_before_it_is_met_holds_no_application_up() {
    let (mut world, mails) = desk().await;
    let iids = through_two_agencies(&mut world).await;
    world.kill(Disk::Wiped).await;
    world.reviewer().relabel(iids[0], &[], &["job-match"]).unwrap();
    world.start().await;
    world.engine.delta().await.unwrap();
    world.sandbox.as_user("owner").delete_issue(iids[0]).unwrap();
    world.delta().await;
    let (status, answer) = send(&world, iids[1], json!({})).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(mails.mails().len(), 1);
}

/// With the disk it is forgotten which other match is the same role, and what was done about it.
#[tokio::test]
async fn after_a_lost_disk_nothing_leaves_before_the_possible_duplicates_are_known() {
    let (mut world, mails) = desk().await;
    let iids = through_two_agencies(&mut world).await;
    mails.set_mood(Mood::GoneAfterMessage);
    assert_eq!(send(&world, iids[0], json!({})).await.0, StatusCode::BAD_GATEWAY);
    world.expect_comment(iids[0], "uncertain whether the application");
    mails.set_mood(Mood::Fine);
    world.kill(Disk::Wiped).await;
    world.start().await;
    assert_eq!(send(&world, iids[1], json!({})).await.0, StatusCode::SERVICE_UNAVAILABLE);
    let history = Fault::new(Method::GET, &format!("/issues/{}/notes", iids[0]), Trouble::status(500));
    world.sandbox.fault(history.times(100));
    world.delta().await;
    let (status, answer) = send(&world, iids[1], json!({})).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains(&format!("#{}", iids[0])), "{answer}");
    world.sandbox.clear_faults();
    assert_eq!(send(&world, iids[1], json!({})).await.0, StatusCode::CONFLICT);
    assert_eq!(mails.mails().len(), 1);
}

/// What is not in order is met only after the first read: until then the mirror does not know of it.
#[tokio::test]
async fn after_a_lost_disk_what_was_sent_and_withdrawn_is_a_possible_duplicate_before_it_is_met() {
    let (mut world, mails) = desk().await;
    let iids = through_two_agencies(&mut world).await;
    assert_eq!(send(&world, iids[0], json!({})).await.0, StatusCode::OK);
    world.expect_comment(iids[0], "sent the application");
    world.reviewer().relabel(iids[0], &[], &["job-match"]).unwrap();
    world.settle().await;
    world.kill(Disk::Wiped).await;
    let itself = Fault::new(Method::GET, &format!("/issues/{}", iids[0]), Trouble::status(500));
    world.sandbox.fault(itself.times(100));
    world.start().await;
    world.engine.delta().await.unwrap();
    assert_eq!(send(&world, iids[1], json!({})).await.0, StatusCode::SERVICE_UNAVAILABLE);
    world.sandbox.clear_faults();
    assert_eq!(send(&world, iids[1], json!({})).await.0, StatusCode::CONFLICT);
    assert_eq!(mails.mails().len(), 1);
}

#[tokio::test]
async fn what_certainly_did_not_leave_may_be_sent_again() {
    let (mut world, mails) = desk().await;
    let iid = drafted(&mut world, "1").await;
    mails.set_mood(Mood::Busy);
    let (status, answer) = send(&world, iid, json!({})).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    world.expect_comment(iid, "did **not** leave");
    assert_eq!(the_match(&world, iid).await["send"], json!(null));
    mails.set_mood(Mood::Picky);
    let (_, draft) = world.get(&format!("/api/v1/matches/{iid}/draft")).await;
    let mut other = letter();
    other["to"] = json!("nobody@agency.example");
    assert_eq!(put(&world, iid, &other, draft["etag"].as_str()).await.0, StatusCode::OK);
    let (status, answer) = send(&world, iid, json!({})).await;
    assert_eq!((status, &answer["title"]), (StatusCode::BAD_GATEWAY, &json!("Bad Gateway")), "{answer}");
    world.expect_comment(iid, "did **not** leave");
    assert_eq!(put(&world, iid, &letter(), Some("*")).await.0, StatusCode::OK);
    assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::OK);
    world.expect_comment(iid, "sent the application");
    assert_eq!(mails.mails().len(), 1);
    world.finish().await;
}
