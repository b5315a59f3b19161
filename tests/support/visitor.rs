//! Somebody who visits the pages over HTTP, without a real browser.

#![allow(dead_code, reason = "each story uses a part of it")]

use reqwest::{Client, Response, StatusCode, header};

use crate::support::{TOKEN, World};

/// A browser that keeps its cookie and follows nothing by itself.
pub struct Browser {
    pub http: Client,
    pub base: String,
    pub cookie: String,
}

/// A page as it came.
pub struct Page {
    pub status: StatusCode,
    pub location: String,
    pub policy: String,
    pub html: String,
}

impl Browser {
    pub fn new(world: &World) -> Self {
        let http = Client::builder().tls_certs_only([]).redirect(reqwest::redirect::Policy::none());
        Self { http: http.build().unwrap(), base: world.url(""), cookie: String::new() }
    }

    /// A browser that is logged in.
    pub async fn of(world: &World) -> Self {
        let mut browser = Self::new(world);
        let page = browser.login(TOKEN, "/").await;
        assert_eq!((page.status, page.location.as_str()), (StatusCode::SEE_OTHER, "/"));
        browser
    }

    pub async fn login(&mut self, token: &str, next: &str) -> Page {
        let request =
            self.http.post(format!("{}/login", self.base)).form(&[("token", token), ("next", next)]);
        let response = request.send().await.unwrap();
        if let Some(cookie) = response.headers().get(header::SET_COOKIE) {
            cookie.to_str().unwrap().split(';').next().unwrap().clone_into(&mut self.cookie);
        }
        Page::of(response).await
    }

    pub async fn get(&self, path: &str) -> Page {
        let request = self.http.get(format!("{}{path}", self.base)).header(header::COOKIE, &self.cookie);
        Page::of(request.header(header::ACCEPT_LANGUAGE, "en").send().await.unwrap()).await
    }

    pub async fn get_as_people_do(&self, path: &str) -> Page {
        let request =
            self.http.get(format!("{}{path}", self.base)).header(header::ACCEPT, "text/html,*/*;q=0.8");
        Page::of(request.header(header::ACCEPT_LANGUAGE, "en").send().await.unwrap()).await
    }

    /// Sends a form as it is.
    pub async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let request = self.http.post(format!("{}{path}", self.base)).header(header::COOKIE, &self.cookie);
        Page::of(request.header(header::ACCEPT_LANGUAGE, "en").form(fields).send().await.unwrap()).await
    }

    /// Sends a form from a page of ours.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let page = self.get("/status").await;
        let form = page.between("name=\"form\" value=\"", "\"").to_owned();
        self.send(path, &[&[("form", form.as_str())], fields].concat()).await
    }

    /// Sends a form and goes where it leads.
    pub async fn post_and_follow(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let page = self.post(path, fields).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.html);
        self.get(&page.location).await
    }
}

impl Page {
    pub async fn of(response: Response) -> Self {
        let header = |name: &str| {
            response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let (location, policy) = (header("location"), header("content-security-policy"));
        let status = response.status();
        Self { status, location, policy, html: response.text().await.unwrap() }
    }

    #[track_caller]
    pub fn between(&self, begin: &str, end: &str) -> &str {
        let (_, rest) = self.html.split_once(begin).unwrap_or_else(|| panic!("{begin} in {}", self.html));
        rest.split_once(end).unwrap().0
    }

    #[track_caller]
    pub fn shows(&self, part: &str) {
        assert!(self.html.contains(part), "{part} in:\n{}", self.html);
    }

    #[track_caller]
    pub fn hides(&self, part: &str) {
        assert!(!self.html.contains(part), "{part} in:\n{}", self.html);
    }
}
