//! The pages over HTTP: who gets in, what a form may do, what is shown, that hostile text does nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a story that fails, panics")]

mod support;

use reqwest::{Client, Response, StatusCode, header};
use serde_json::{Value, json};
use support::{Difference, Disk, TOKEN, World, job};

/// A browser that keeps its cookie and follows nothing by itself.
struct Browser {
    http: Client,
    base: String,
    cookie: String,
}

/// A page as it came.
struct Page {
    status: StatusCode,
    location: String,
    policy: String,
    html: String,
}

impl Browser {
    fn new(world: &World) -> Self {
        let http = Client::builder().tls_certs_only([]).redirect(reqwest::redirect::Policy::none());
        Self { http: http.build().unwrap(), base: world.url(""), cookie: String::new() }
    }

    /// A browser that is logged in.
    async fn of(world: &World) -> Self {
        let mut browser = Self::new(world);
        let page = browser.login(TOKEN, "/").await;
        assert_eq!((page.status, page.location.as_str()), (StatusCode::SEE_OTHER, "/"));
        browser
    }

    async fn login(&mut self, token: &str, next: &str) -> Page {
        let request =
            self.http.post(format!("{}/login", self.base)).form(&[("token", token), ("next", next)]);
        let response = request.send().await.unwrap();
        if let Some(cookie) = response.headers().get(header::SET_COOKIE) {
            cookie.to_str().unwrap().split(';').next().unwrap().clone_into(&mut self.cookie);
        }
        Page::of(response).await
    }

    async fn get(&self, path: &str) -> Page {
        let request = self.http.get(format!("{}{path}", self.base)).header(header::COOKIE, &self.cookie);
        Page::of(request.header(header::ACCEPT_LANGUAGE, "en").send().await.unwrap()).await
    }

    /// Sends a form as it is.
    async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let request = self.http.post(format!("{}{path}", self.base)).header(header::COOKIE, &self.cookie);
        Page::of(request.header(header::ACCEPT_LANGUAGE, "en").form(fields).send().await.unwrap()).await
    }

    /// Sends a form from a page of ours.
    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let page = self.get("/status").await;
        let form = page.between("name=\"form\" value=\"", "\"").to_owned();
        self.send(path, &[&[("form", form.as_str())], fields].concat()).await
    }

    /// Sends a form and goes where it leads.
    async fn post_and_follow(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let page = self.post(path, fields).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.html);
        self.get(&page.location).await
    }
}

impl Page {
    async fn of(response: Response) -> Self {
        let header = |name: &str| {
            response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let (location, policy) = (header("location"), header("content-security-policy"));
        let status = response.status();
        Self { status, location, policy, html: response.text().await.unwrap() }
    }

    #[track_caller]
    fn between(&self, begin: &str, end: &str) -> &str {
        let (_, rest) = self.html.split_once(begin).unwrap_or_else(|| panic!("{begin} in {}", self.html));
        rest.split_once(end).unwrap().0
    }

    #[track_caller]
    fn shows(&self, part: &str) {
        assert!(self.html.contains(part), "{part} in:\n{}", self.html);
    }

    #[track_caller]
    fn hides(&self, part: &str) {
        assert!(!self.html.contains(part), "{part} in:\n{}", self.html);
    }
}

const PAGES: [&str; 4] = ["/", "/stats", "/settings", "/status"];

#[tokio::test]
async fn nobody_sees_anything_before_logging_in() {
    let world = World::new().await;
    world.stage("1").await;
    let browser = Browser::new(&world);
    for path in PAGES.into_iter().chain(["/matches/1"]) {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{path}");
        assert!(page.location.starts_with("/login") && page.html.is_empty(), "{path}: {}", page.location);
    }
    for path in ["/decide", "/settings", "/settings/test", "/logout"] {
        let page = browser.send(path, &[("iid", "1"), ("state", "approved")]).await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{path}");
        page.hides("Cloud Architect");
    }
    world.expect(1, "pending").await;
    world.finish().await;
}

#[tokio::test]
async fn a_token_logs_in_and_leads_on_to_where_one_wanted_to_go() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    let page = browser.get("/settings").await;
    assert_eq!(page.location, "/login?next=%2Fsettings");
    let page = browser.get(&page.location).await;
    assert_eq!(page.between("name=\"next\" value=\"", "\""), "/settings");
    let page = browser.login("token-of-somebody", "/settings").await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert!(browser.cookie.is_empty());
    page.hides("token-of-somebody");
    for next in ["https://evil.example", "//evil.example", "/\\evil.example"] {
        assert_eq!(browser.login(TOKEN, next).await.location, "/");
    }
    assert_eq!(browser.login(TOKEN, "/settings").await.location, "/settings");
    for path in PAGES {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.html);
        page.shows("pipeline");
        assert!(
            page.policy.starts_with("default-src 'none'") && !page.policy.contains("unsafe"),
            "{}",
            page.policy
        );
        page.hides(" style=");
        page.hides("<style");
    }
    let page = browser.post("/logout", &[]).await;
    assert_eq!(page.location, "/login");
    world.finish().await;
}
