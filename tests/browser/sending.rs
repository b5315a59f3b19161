//! An application in a real browser: written, edited in GitLab meanwhile, looked through, sent; and where nobody knows.

use serde_json::json;

use super::driver::{Browser, Look};
use super::smtp::{MailServer, Mood};
use super::support::{Difference, World};
use super::{SMALL, finish, is_fine, opened};

async fn desk() -> (World, MailServer) {
    let mails = MailServer::start(false).await;
    let address: &'static str = Box::leak(format!("smtp://{}", mails.address).into_boxed_str());
    let variables = vec![("SMTP_URL", address), ("MAIL_FROM", "a@example.com"), ("MAIL_TO", "b@example.com")];
    let world = World::with(Difference { variables, ..Difference::default() }).await;
    world.stage("1").await;
    world.patch(1, &json!({ "state": "approved" })).await;
    world.settle().await;
    (world, mails)
}

async fn write(browser: &Browser) {
    browser.go("/?state=approved").await;
    browser.click("#match-1 .application").await;
    browser.fill("#to", "clara.winter-von-und-zu-hohenstein@recruiting.agency.example").await;
    browser.fill("#body", "Dear Clara,\n\nI bring **ten years** of AWS.").await;
    browser.click("main .decide .main").await;
    assert_eq!(browser.path().await, "/matches/1/send");
}

fn edit_in_gitlab(world: &World, from: &str, to: &str) {
    let gitlab = world.sandbox.world();
    let notes = gitlab.comments_of(1);
    let note = notes.iter().find(|note| note.body.contains(from)).unwrap();
    let (id, body) = (note.id, note.body.replace(from, to));
    drop(gitlab);
    world.reviewer().edit_comment(1, id, &body).unwrap();
}

async fn written_looked_through_and_sent(look: Look) {
    let (world, mails) = desk().await;
    let Some(browser) = opened(&world, look).await else { return };
    write(&browser).await;
    is_fine(&browser, "the question").await;
    edit_in_gitlab(&world, "ten years", "twelve years");
    browser.click(".ask .main").await;
    assert!(browser.text(".notice").await.contains("was edited meanwhile. Nothing was sent"));
    assert_eq!(mails.mails().len(), 0);
    browser.click(".ask .button").await;
    edit_in_gitlab(&world, "twelve years", "thirteen years");
    browser.fill("#subject", "Mine").await;
    browser.click("main .decide .main").await;
    assert!(browser.text(".theirs").await.contains("thirteen years"));
    is_fine(&browser, "two edits").await;
    browser.click(".theirs .button").await;
    browser.click("main .decide .main").await;
    assert_eq!(browser.text(".letter strong").await, "thirteen years");
    browser.click(".ask .main").await;
    assert_eq!(browser.text(".done").await, "The application is sent.");
    is_fine(&browser, "sent").await;
    assert_eq!(mails.mails().len(), 1);
    world.settle().await;
    assert_eq!(world.state(1).await, "sent");
    finish(browser).await;
}

async fn uncertain(look: Look, way: &str) {
    let (world, mails) = desk().await;
    let Some(browser) = opened(&world, look).await else { return };
    write(&browser).await;
    mails.set_mood(Mood::GoneAfterMessage);
    browser.click(".ask .main").await;
    let doubt = browser.text(".doubt").await;
    assert!(doubt.contains("It is uncertain whether the mail left"), "{doubt}");
    is_fine(&browser, "uncertain").await;
    mails.set_mood(Mood::Fine);
    let before = mails.mails().len();
    if way == "again" {
        browser.click(".doubt [name='looked']").await;
        browser.click(".doubt .to-rejected").await;
        assert_eq!(browser.text(".done").await, "The application is sent.");
        assert_eq!(mails.mails().len(), before + 1);
    } else {
        browser.click(".doubt .to-sent").await;
        assert_eq!(mails.mails().len(), before);
    }
    world.settle().await;
    assert_eq!(world.state(1).await, "sent");
    finish(browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_written_looked_through_and_sent() {
    written_looked_through_and_sent(Look::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_sent_without_scripts_too() {
    let (world, mails) = desk().await;
    let Some(browser) = opened(&world, Look { scripts: false, ..Look::default() }).await else { return };
    write(&browser).await;
    browser.click(".ask .main").await;
    assert_eq!(browser.text(".done").await, "The application is sent.");
    assert_eq!(mails.mails().len(), 1);
    finish(browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_sent_from_a_telephone_at_night() {
    written_looked_through_and_sent(Look { dark: true, ..SMALL }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_knows_whether_it_left_one_looks_and_decides() {
    uncertain(Look::default(), "again").await;
    uncertain(Look { dark: true, ..SMALL }, "it arrived").await;
}
