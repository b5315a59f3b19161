//! The pages in a real browser: what people do with them, on whatever they look at them with.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

#[path = "browser/driver.rs"]
mod driver;
#[path = "browser/links.rs"]
mod links;
#[path = "browser/pictures.rs"]
mod pictures;
#[path = "browser/sending.rs"]
mod sending;
#[path = "support/smtp.rs"]
mod smtp;
mod support;

use driver::{Browser, Look};
use serde_json::{Value, json};
use support::{Difference, TOKEN, World};

const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';
const SPACE: char = '\u{e00d}';
const AXE: &str = include_str!("data/axe-core/axe.min.js");
const MAIL: [(&str, &str); 3] =
    [("SMTP_URL", "smtp://127.0.0.1:9"), ("MAIL_FROM", "a@example.com"), ("MAIL_TO", "b@example.com")];
/// A telephone.
const SMALL: Look = Look { width: 360, height: 740, dark: false, language: "en", scripts: true };

/// A world with the demo's matches.
async fn world() -> World {
    let file = "language: en\nquiet_hours: {from: \"22:00\", to: \"07:00\", timezone: Europe/Vienna, urgent_score: 95}\n\
                batch: {mode: digest, at: [\"08:00\", \"17:30\"]}\n";
    let world =
        World::with(Difference { variables: MAIL.to_vec(), file: Some(file), ..Difference::default() }).await;
    let matches: Vec<Value> = serde_json::from_str(include_str!("../config/demo-matches.json")).unwrap();
    for one in &matches {
        let (_, answer) = world.post(one).await;
        assert!(answer["iid"].is_u64(), "{answer}");
    }
    world.settle().await;
    world
}

async fn log_in(browser: &Browser) {
    browser.go("/login").await;
    browser.fill("#token", TOKEN).await;
    browser.click("main button").await;
}

/// A browser in which somebody is logged in.
async fn opened(world: &World, look: Look) -> Option<Browser> {
    let browser = Browser::open(world.url(""), look).await?;
    log_in(&browser).await;
    assert_eq!(browser.path().await, "/");
    Some(browser)
}

/// The browser found nothing wrong: no script failed, nothing was loaded or run that the policy forbids.
async fn finish(browser: Browser) {
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// The first line of what was just decided.
async fn said(browser: &Browser) -> String {
    browser.text(".done li").await.lines().next().unwrap_or_default().to_owned()
}

async fn decide_and_undo(world: &World, browser: &Browser) {
    browser.click("#match-2 details.say summary").await;
    browser.fill("#comment-2", "direct contract").await;
    browser.click("#match-2 .to-approved").await;
    assert_eq!(said(browser).await, "Senior Rust Engineer – Zahlungsverkehr approved");
    assert_eq!(browser.count("#match-2").await, 0);
    assert_eq!(world.state(2).await, "approved");
    browser.click(".done button").await;
    assert_eq!(said(browser).await, "Senior Rust Engineer – Zahlungsverkehr pending again");
    assert_eq!(world.state(2).await, "pending");
}

async fn several_at_once(world: &World, browser: &Browser) {
    for iid in [3, 5] {
        browser.click(&format!("#match-{iid} .choose")).await;
    }
    browser.click("#together .to-rejected").await;
    assert_eq!(browser.count(".done li").await, 2);
    assert_eq!((world.state(3).await.as_str(), world.state(5).await.as_str()), ("rejected", "rejected"));
    // The last button takes all of it back.
    browser.click(".done > form button").await;
    assert_eq!(browser.count("article").await, 5);
    assert_eq!((world.state(3).await.as_str(), world.state(5).await.as_str()), ("pending", "pending"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reviewer_logs_in_decides_undoes_and_logs_out() {
    let world = world().await;
    let Some(browser) = opened(&world, Look::default()).await else { return };
    assert_eq!(browser.text("article h2").await, "Cloud Architect (m/w/d) AWS – Plattformaufbau Energie");
    assert!(!browser.sees("#match-1 .advertisement .prose").await);
    browser.click("#match-1 .advertisement summary").await;
    assert!(browser.text("#match-1 .advertisement .prose").await.contains("Aufbau einer AWS Landing Zone"));
    decide_and_undo(&world, &browser).await;
    several_at_once(&world, &browser).await;
    browser.fill("#q", "rust").await;
    browser.click(".search button").await;
    assert_eq!(browser.count("article").await, 2, "a title and a skill");
    browser.click("article h2 a").await;
    assert_eq!(browser.path().await, "/matches/1");
    browser.click(".who button").await;
    assert_eq!(browser.path().await, "/login");
    browser.go("/").await;
    assert_eq!(browser.path().await, "/login");
    finish(browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_without_scripts() {
    let world = world().await;
    let Some(browser) = opened(&world, Look { scripts: false, ..Look::default() }).await else { return };
    browser.click("#match-3 .choose").await;
    assert!(!browser.sees("[data-choose-all]").await, "what needs a script is not there without");
    browser.click("#match-3 .choose").await;
    decide_and_undo(&world, &browser).await;
    several_at_once(&world, &browser).await;
    browser.go("/settings").await;
    browser.fill("#min_score", "75").await;
    browser.click(".save button").await;
    assert_eq!(browser.path().await, "/settings?saved=1");
    finish(browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyboard_is_enough() {
    let world = world().await;
    let Some(browser) = Browser::open(world.url(""), Look::default()).await else { return };
    browser.go("/login").await;
    for letter in TOKEN.chars() {
        browser.press(letter).await;
    }
    browser.press_and_follow(ENTER).await;
    assert_eq!(browser.path().await, "/");
    browser.press(TAB).await;
    let focus = "return document.activeElement.innerText || document.activeElement.getAttribute('name')";
    assert_eq!(browser.run(focus).await, "Skip to the content");
    browser.press(ENTER).await;
    let mut seen = Vec::new();
    for _ in 0..40 {
        browser.press(TAB).await;
        let inside =
            browser.run("return document.activeElement.getBoundingClientRect().bottom <= innerHeight").await;
        assert_eq!(inside, true, "what has the focus can be seen: {seen:?}");
        let text = browser.run(focus).await.as_str().unwrap_or_default().to_owned();
        seen.push(text.clone());
        match text.as_str() {
            "iid" => browser.press(SPACE).await,
            "Reject" if seen.iter().filter(|text| *text == "Reject").count() == 2 => break,
            _ => {}
        }
    }
    assert!(
        browser.sees("#together").await,
        "a ticked box shows what can be done with all of them: {seen:?}"
    );
    browser.press_and_follow(ENTER).await;
    assert_eq!(world.state(2).await, "rejected", "{seen:?}");
    // What was done has the focus, so that it is read out and the way back is near.
    assert_eq!(browser.run("return document.activeElement.className").await, "done");
    finish(browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_saved_tested_and_not_written_over() {
    let world = world().await;
    let Some(browser) = opened(&world, Look::default()).await else { return };
    browser.click("nav a[href='/settings']").await;
    assert!(browser.text(".week").await.contains("digest 17:30"));
    browser.fill("#min_score", "80").await;
    browser.fill("#batch-at", "09:00").await;
    browser.click(".save button").await;
    assert!(browser.text(".done").await.starts_with("Saved."));
    assert!(browser.text(".week").await.contains("digest 09:00"));
    browser.click("[formaction$=\"/test\"][value=email]").await;
    assert!(browser.text(".notice").await.starts_with("E-mail: did not work"));
    // Somebody edits the issue while this form is open.
    let iid = world.sandbox.world().issues.keys().copied().max().unwrap();
    let text = world.sandbox.world().issue(iid).unwrap().description.clone().unwrap();
    world.reviewer().edit_description(iid, &text.replace("min_score: 80", "min_score: 90")).unwrap();
    browser.fill("#min_score", "85").await;
    browser.click(".save button").await;
    assert!(
        browser.text(".notice").await.starts_with("Somebody changed the same values in GitLab meanwhile.")
    );
    assert!(browser.text("#min_score-said").await.contains("In GitLab it is now: 90"));
    browser.click(".save button").await;
    assert!(browser.text(".done").await.starts_with("Saved."));
    let text = world.sandbox.world().issue(iid).unwrap().description.clone().unwrap();
    assert!(text.contains("min_score: 85"), "{text}");
    finish(browser).await;
}

/// Every page, and what it looks like when something is wrong.
async fn every_page(world: &World, browser: &Browser, mut look: impl AsyncFnMut(&str)) {
    browser.go("/login").await;
    look("login").await;
    browser.fill("#token", "wrong").await;
    browser.click("main button").await;
    look("login, wrong").await;
    log_in(browser).await;
    look("inbox").await;
    browser.click("#match-1 .advertisement summary").await;
    browser.click("#match-1 details.say summary").await;
    browser.click("#match-1 .choose").await;
    look("inbox, unfolded and chosen").await;
    browser.click("#match-4 .to-approved").await;
    look("inbox, decided").await;
    browser.go("/?state=approved").await;
    look("approved").await;
    browser.go("/?state=sent&q=nowhere").await;
    look("nothing found").await;
    browser.go("/matches/4").await;
    look("a match").await;
    browser.click("#application summary").await;
    look("the tracker's form").await;
    browser.fill("#tracker-rtr", "maybe").await;
    browser.click("#application .main").await;
    look("the tracker's form, wrong").await;
    browser.fill("#tracker-rtr", "yes").await;
    browser.click("#application .main").await;
    look("the tracker, noted").await;
    browser.click(".decide .application").await;
    look("application, to be written").await;
    browser.fill("#to", "clara").await;
    browser.fill("#body", "Dear Clara,\n\nI bring **ten years** of AWS.\n\n- Rust\n- Terraform").await;
    browser.click(".decide [value='']").await;
    look("application, wrong").await;
    browser.fill("#to", "clara@agency.example").await;
    browser.click(".decide .main").await;
    look("application, to be sent").await;
    for path in ["/?state=all", "/?state=rejected", "/stats", "/status", "/settings", "/matches/99"] {
        browser.go(path).await;
        look(path).await;
    }
    browser.go("/settings").await;
    browser.fill("#min_score", "0.5").await;
    browser.click(".save button").await;
    look("settings, wrong").await;
    world.sandbox.outage(vorhoelle::sandbox::Outage::Refused);
    browser.go("/matches/4").await;
    browser.click(".to-sent").await;
    look("failed").await;
    browser.go("/").await;
    look("inbox while GitLab is down").await;
    world.sandbox.outage(vorhoelle::sandbox::Outage::None);
}

/// What axe-core finds wrong with the page that is shown.
async fn violations(browser: &Browser) -> Vec<String> {
    browser.run(AXE).await;
    let script = r"const done = arguments[0];
        const say = (one) => `${one.id}: ${one.help}\n` +
            one.nodes.map((node) => `${node.html} ${node.failureSummary}`).join('\n');
        axe.run(document).then((found) =>
            done(found.passes.length < 10 ? ['nothing was looked at'] : found.violations.map(say)))";
    let found = browser.run_async(script).await;
    found.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

/// The page that is shown can be used by everybody, and is no wider than the window.
async fn is_fine(browser: &Browser, name: &str) {
    let found = violations(browser).await;
    assert!(found.is_empty(), "{name}: {found:#?}");
    let wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(browser.run(wide).await, 0, "{name} scrolls to the side");
}

async fn nothing_is_in_anybodys_way(look: Look) {
    let world = world().await;
    let Some(browser) = Browser::open(world.url(""), look).await else { return };
    every_page(&world, &browser, async |name| is_fine(&browser, name).await).await;
    finish(browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_in_anybodys_way_on_a_desk() {
    nothing_is_in_anybodys_way(Look::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_in_anybodys_way_in_the_dark_and_in_german() {
    nothing_is_in_anybodys_way(Look { dark: true, language: "de", ..Look::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_in_anybodys_way_on_a_telephone() {
    nothing_is_in_anybodys_way(SMALL).await;
    nothing_is_in_anybodys_way(Look { dark: true, language: "de", ..SMALL }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_telephone_decides_too_and_a_hostile_match_is_no_wider_than_it() {
    let world = world().await;
    let endless = "Donaudampfschifffahrtsgesellschaftskapitän".repeat(5);
    let hostile = json!({
        "title": endless, "score": 99, "company": endless, "location": endless, "rate": endless,
        "skills": {"matched": [endless.clone()], "missing": ["<script>alert(1)</script>"]},
        "description": format!("`{endless}`\n\n    {endless}\n\n<img src=x onerror=alert(1)>"),
    });
    let mut short = hostile.clone();
    short["skills"]["matched"] = json!([endless.chars().take(200).collect::<String>()]);
    let (_, answer) = world.post(&short).await;
    assert!(answer["iid"].is_u64(), "{answer}");
    let Some(browser) = opened(&world, SMALL).await else { return };
    for path in ["/".to_owned(), format!("/matches/{}", answer["iid"])] {
        browser.go(&path).await;
        let wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(browser.run(wide).await, 0, "{path} scrolls to the side");
    }
    browser.go("/").await;
    decide_and_undo(&world, &browser).await;
    finish(browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dark_is_dark() {
    let world = world().await;
    for (dark, colour) in [(false, "rgb(246, 245, 241)"), (true, "rgb(20, 19, 23)")] {
        let Some(browser) = opened(&world, Look { dark, ..Look::default() }).await else { return };
        assert_eq!(browser.run("return getComputedStyle(document.body).backgroundColor").await, colour);
        finish(browser).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_browser_complains_about_what_the_policy_forbids() {
    let world = World::new().await;
    let Some(browser) = opened(&world, Look::default()).await else { return };
    let harm = "for (const [name, key, value] of [['img', 'src', 'http://127.0.0.1:9/i.png'], ['p', 'style', 'color: red'],
            ['script', 'textContent', 'document.title = 1']]) {
            const one = document.createElement(name);
            one.setAttribute(key, value);
            one[key] = value;
            document.body.append(one);
        }";
    browser.run(harm).await;
    assert_ne!(browser.run("return document.title").await, "1");
    let complaints = browser.complaints().await;
    let about = |directive: &str| complaints.iter().any(|one| one.contains(directive));
    assert!(about("img-src") && about("style-src") && about("script-src"), "{complaints:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_dragged_on_the_sandboxs_board_decides() {
    let world = world().await;
    let board = board_of(&world);
    let Some(browser) = Browser::open(world.url(""), Look::default()).await else { return };
    browser.go(&board).await;
    assert_eq!(browser.count(".column[data-name='job-match/pending'] .card").await, 5);
    browser
        .drag(
            ".column[data-name='job-match/pending'] .card",
            ".column[data-name='job-match/approved'] .cards",
        )
        .await;
    assert_eq!(browser.count(".column[data-name='job-match/approved'] .card").await, 1);
    let text = browser.text(".column[data-name='job-match/approved'] .card a").await;
    world.settle().await;
    let (_, answer) = world.get("/api/v1/matches?state=approved").await;
    assert!(text.contains(answer["matches"][0]["title"].as_str().unwrap()), "{text} {answer}");
    let wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(browser.run(wide).await, 0);
    finish(browser).await;
}

/// Where the board of the world's sandbox is, with a list for each state.
fn board_of(world: &World) -> String {
    let lists = ["pending", "approved", "rejected", "sent"].map(|state| format!("job-match/{state}"));
    world.person("owner").create_board("Job matches", &lists.each_ref().map(String::as_str)).unwrap();
    format!("{}/{}/-/boards", world.sandbox.url(), world.sandbox.project())
}
