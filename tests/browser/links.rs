//! Links from mails: to the inbox through the login, and to a decision without one.

use super::driver::{Browser, Look};
use super::support::{Disk, TOKEN, World};
use super::{SMALL, finish, is_fine};

/// A world that tells of one match by mail, and the mail's text.
async fn told() -> (World, String) {
    let mut world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let url = world.url("");
    world.set_variable("PUBLIC_URL", &url);
    world.set_variable("LINK_SECRET", "key-of-the-links-0123456789");
    world.set_variable("MAIL_FILE_DIR", folder.path().to_str().unwrap());
    world.set_variable("MAIL_FROM", "a@example.com");
    world.set_variable("MAIL_TO", "b@example.com");
    world.restart(Disk::Kept).await;
    world.stage("1").await;
    world.tell().await;
    let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let mail = std::fs::read(file).unwrap();
    let mail = mail_parser::MessageParser::default().parse(&mail).unwrap();
    let text = mail.body_text(0).unwrap().into_owned();
    (world, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_in_a_mail_leads_through_the_login_to_the_inbox() {
    let (world, text) = told().await;
    let link = text.lines().find_map(|line| line.strip_prefix("Go to the inbox: ")).unwrap().trim();
    let Some(browser) = Browser::open(world.url(""), Look::default()).await else { return };
    browser.go(link).await;
    assert_eq!(browser.path().await, "/login");
    browser.fill("#token", TOKEN).await;
    browser.click("main button").await;
    assert_eq!(browser.text("article h2").await, "Cloud Architect 1");
    finish(browser).await;
}

async fn decided_by_a_link(look: Look) {
    let (world, text) = told().await;
    let url = world.url("/a/");
    let mut links = text.split_whitespace().filter(|word| word.starts_with(&url));
    let approve = links.clone().find(|link| link.contains("approve")).unwrap();
    let reject = links.find(|link| link.contains("reject")).unwrap();
    let Some(browser) = Browser::open(world.url(""), look).await else { return };
    browser.go(approve).await;
    assert_eq!(browser.text(".question").await, "Approve this match?");
    is_fine(&browser, "a link that asks").await;
    assert_eq!(world.state(1).await, "pending", "looking changes nothing");
    browser.click(".say summary").await;
    browser.fill("#comment", "from the train").await;
    browser.click(".to-approved").await;
    assert_eq!(browser.text(".question").await, "The match is approved.");
    is_fine(&browser, "a link that decided").await;
    world.settle().await;
    assert_eq!(world.state(1).await, "approved");
    browser.go(reject).await;
    assert_eq!(browser.count("main button").await, 0, "somebody has decided already");
    is_fine(&browser, "a link that comes too late").await;
    browser.go("/a/none").await;
    is_fine(&browser, "no link").await;
    finish(browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_a_mail_decides_without_a_login() {
    decided_by_a_link(Look::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_a_mail_decides_on_a_telephone_at_night() {
    decided_by_a_link(Look { dark: true, ..SMALL }).await;
}
