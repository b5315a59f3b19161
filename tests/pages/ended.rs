//! A session that ended, a match that was removed, and guesses from everywhere.

use reqwest::{StatusCode, header};

use super::support::{TOKEN, World};
use super::visitor::{Browser, Page};

#[tokio::test]
async fn whose_session_ended_is_led_back_and_keeps_what_they_wrote() {
    let world = World::new().await;
    world.stage("1").await;
    let browser = Browser::new(&world);
    for (path, next) in [
        ("/matches/1/draft", "/matches/1/draft"),
        ("/matches/1/send", "/matches/1/send"),
        ("/settings", "/settings"),
    ] {
        let page = browser.send(path, &[("subject", "Architect"), ("body", "Dear <b>Clara</b>")]).await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(page.between("name=\"next\" value=\"", "\""), next);
        page.shows("Dear &lt;b&gt;Clara&lt;/b&gt;");
    }
    let page =
        browser.send("/matches/1/application", &[("notes", "what she said"), ("stage", "offer")]).await;
    assert_eq!(page.between("name=\"next\" value=\"", "\""), "/matches/1/application");
    page.shows("what she said");
    let page = browser.send("/decide", &[("iid", "1"), ("back", "/?q=x"), ("comment", "call her")]).await;
    assert_eq!(page.between("name=\"next\" value=\"", "\""), "/?q=x");
    page.shows("call her");
    // Another site's words are not shown on a page of ours.
    let request = browser.http.post(world.url("/decide")).header(header::ORIGIN, "https://evil.example");
    let page = Page::of(request.form(&[("comment", "pay me")]).send().await.unwrap()).await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    page.hides("pay me");
}

#[tokio::test]
async fn guesses_from_everywhere_lock_nobody_out_who_knows_a_token() {
    let world = World::new().await;
    let browser = Browser::new(&world);
    let login = async |token: &str, from: String| {
        let request = browser.http.post(world.url("/login")).header("x-forwarded-for", from);
        request.form(&[("token", token)]).send().await.unwrap().status()
    };
    for guess in 0..200 {
        let status = login("a-guess", format!("192.0.2.{guess}")).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(login("a-guess", "198.51.100.1".to_owned()).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(login(TOKEN, "198.51.100.1".to_owned()).await, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_match_that_was_removed_on_request_says_so() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    world.settle().await;
    world.engine.erase(iid).await.unwrap();
    world.settle().await;
    let page = Browser::of(&world).await.get("/matches/1").await;
    assert_eq!(page.status, StatusCode::GONE);
    page.shows("This match was removed on request");
}
