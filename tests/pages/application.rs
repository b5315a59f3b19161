//! The tracker on the page: seen, filled in, and never written over unseen.

use reqwest::StatusCode;
use serde_json::json;
use vorhoelle::sandbox::Outage;

use super::support::World;
use super::visitor::{Browser, Page};

/// A text of the page as a browser reads it.
fn unescaped(html: &str) -> String {
    let quotes = html.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    quotes.replace("&amp;", "&")
}

/// What a browser sends of a field that nobody touched: what the page shows in it.
fn untouched(page: &Page, name: &str) -> String {
    match name {
        "stage" => {
            let chosen = page
                .html
                .split("<option value=\"")
                .find(|option| option.split('>').next().is_some_and(|start| start.ends_with(" selected")));
            chosen.expect("a stage is chosen").split('"').next().unwrap().to_owned()
        }
        "notes" => {
            let field = page.between("<textarea id=\"tracker-notes\"", "</textarea>");
            unescaped(field.split_once(">\n").unwrap().1)
        }
        _ => unescaped(page.between(&format!("name=\"{name}\" value=\""), "\"")),
    }
}

/// The form as a browser would send it back, with some fields filled in.
async fn fill_in(browser: &Browser, made: &Page, typed: &[(&str, &str)]) -> Page {
    let names = [
        "stage",
        "applied_on",
        "answer_on",
        "interview_on",
        "next_step",
        "follow_up_on",
        "contact_name",
        "contact_email",
        "contact_phone",
        "rtr",
        "notes",
    ];
    let mut fields = Vec::new();
    for name in names {
        let was = made.between(&format!("name=\"was.{name}\" hidden>\n"), "</textarea>");
        let value = typed.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned());
        fields.push((name.to_owned(), value.unwrap_or_else(|| untouched(made, name))));
        fields.push((format!("was.{name}"), unescaped(was)));
    }
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    browser.post("/matches/1/application", &fields).await
}

#[tokio::test]
async fn the_tracker_is_filled_in_on_the_page() {
    let mut world = World::new().await;
    world.stage("1").await;
    let browser = Browser::of(&world).await;
    let page = browser.get("/matches/1").await;
    page.shows("Edit the tracker");
    let typed = [("stage", "applied"), ("applied_on", "2026-11-20"), ("notes", "first\r\n<b>second</b>")];
    let saved = fill_in(&browser, &page, &typed).await;
    assert_eq!((saved.status, saved.location.as_str()), (StatusCode::SEE_OTHER, "/matches/1?said=noted"));
    let page = browser.get(&saved.location).await;
    page.shows("It stands in a comment of the issue too.");
    page.shows("<td><bdi>2026-11-20</bdi></td>");
    page.shows("&lt;b&gt;second");
    world.expect_comment(1, "2026-11-20");
    let (_, answer) = world.get("/api/v1/matches/1").await;
    let expected = json!({"stage": "applied", "applied_on": "2026-11-20", "notes": "first\n<b>second</b>"});
    assert_eq!(answer["application"], expected);
    // What is emptied is cleared, what was not touched stays.
    assert_eq!(fill_in(&browser, &page, &[("stage", "")]).await.status, StatusCode::SEE_OTHER);
    let (_, answer) = world.get("/api/v1/matches/1").await;
    assert_eq!(
        (&answer["application"]["stage"], &answer["application"]["applied_on"]),
        (&json!(null), &json!("2026-11-20"))
    );
}

#[tokio::test]
async fn what_cannot_be_is_said_beside_its_field_and_nothing_is_written() {
    let world = World::new().await;
    world.stage("1").await;
    let browser = Browser::of(&world).await;
    let page = browser.get("/matches/1").await;
    let page =
        fill_in(&browser, &page, &[("applied_on", "7.2."), ("rtr", "maybe"), ("next_step", "call")]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    page.shows("is no day such as 2026-02-07");
    page.shows("is no right to represent");
    page.shows("value=\"call\"");
    world.sandbox.outage(Outage::Refused);
    let mended = [("applied_on", ""), ("rtr", ""), ("next_step", "call Clara")];
    let page = fill_in(&browser, &page, &mended).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    page.shows("value=\"call Clara\"");
    world.sandbox.outage(Outage::None);
    world.finish().await;
}

#[tokio::test]
async fn what_somebody_else_wrote_meanwhile_is_shown_and_not_written_over() {
    let mut world = World::new().await;
    world.stage("1").await;
    let browser = Browser::of(&world).await;
    let made = browser.get("/matches/1").await;
    let theirs = json!({"next_step": "wait", "contact_name": "Clara"});
    let request = world.http.patch(world.url("/api/v1/matches/1/application")).json(&theirs);
    assert_eq!(world.call(request).await.0, StatusCode::OK);
    let page = fill_in(&browser, &made, &[("next_step", "call"), ("rtr", "yes")]).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    page.shows("<strong><bdi>wait</bdi></strong>");
    page.shows("value=\"call\"");
    // Whoever saves once more means it; another's field that was not touched stays.
    let saved = fill_in(&browser, &page, &[("next_step", "call"), ("rtr", "yes")]).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER);
    let (_, answer) = world.get("/api/v1/matches/1").await;
    let expected = json!({"next_step": "call", "contact_name": "Clara", "rtr": "yes"});
    assert_eq!(answer["application"], expected);
    world.expect_comment(1, "Clara");
    world.finish().await;
}

/// The page that says that GitLab does not answer forgets nothing of what it was made with.
#[tokio::test]
async fn trying_again_after_an_outage_writes_over_nobody() {
    let mut world = World::new().await;
    world.stage("1").await;
    let browser = Browser::of(&world).await;
    let made = browser.get("/matches/1").await;
    let theirs = json!({"next_step": "wait"});
    let request = world.http.patch(world.url("/api/v1/matches/1/application")).json(&theirs);
    assert_eq!(world.call(request).await.0, StatusCode::OK);
    world.sandbox.outage(Outage::Refused);
    let page = fill_in(&browser, &made, &[("next_step", "call")]).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    world.sandbox.outage(Outage::None);
    let page = fill_in(&browser, &page, &[("next_step", "call")]).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    page.shows("<strong><bdi>wait</bdi></strong>");
    world.expect_comment(1, "wait");
    world.finish().await;
}

#[tokio::test]
async fn of_a_match_that_is_none_any_more_the_form_says_so() {
    let world = World::new().await;
    world.stage("1").await;
    let browser = Browser::of(&world).await;
    let made = browser.get("/matches/1").await;
    world.reviewer().relabel(1, &[], &["job-match"]).unwrap();
    let page = fill_in(&browser, &made, &[("next_step", "call")]).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    world.engine.erase(1).await.unwrap();
    assert_eq!(fill_in(&browser, &made, &[("next_step", "call")]).await.status, StatusCode::GONE);
}
