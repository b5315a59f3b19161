//! The project's webhooks; needs the role Maintainer.

use http::Method;
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{GitlabError, Project};

/// How the address of a webhook of ours ends.
const PATH: &str = "/webhooks/gitlab";

/// A webhook of the project. GitLab never tells its secrets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Hook {
    /// Its number.
    pub id: u64,
    /// Where it delivers to.
    pub url: String,
    /// Tells of issues.
    #[serde(default)]
    pub issues_events: bool,
    /// Tells of confidential issues: a subscription of its own.
    #[serde(default)]
    pub confidential_issues_events: Option<bool>,
    /// Tells of comments.
    #[serde(default)]
    pub note_events: bool,
    /// Tells of comments on confidential issues.
    #[serde(default)]
    pub confidential_note_events: Option<bool>,
    /// Tells of pushes; on unless switched off.
    #[serde(default)]
    pub push_events: bool,
    /// `executable`, `temporarily_disabled` or `disabled`.
    #[serde(default)]
    pub alert_status: Option<String>,
    /// Whether a secret token is set; older GitLabs do not say.
    #[serde(default)]
    pub token_present: Option<bool>,
    /// Whether a signing token is set; GitLab before 19.0 does not say.
    #[serde(default)]
    pub signing_token_present: Option<bool>,
}

impl Hook {
    /// Whether it tells of everything that the service follows.
    pub fn tells_of_everything(&self) -> bool {
        self.issues_events
            && self.confidential_issues_events == Some(true)
            && self.note_events
            && self.confidential_note_events == Some(true)
    }

    /// Where it delivers to, as it may be shown, where a service such as ours listens or listened there and that is not at
    /// `ours`.
    pub fn leads_elsewhere(&self, ours: &str) -> Option<String> {
        let mut url = Url::parse(&self.url).ok().filter(|_| self.url != ours)?;
        let is_a_service = url.path().trim_end_matches('/').ends_with(PATH);
        // A password or a key may stand in it.
        url.set_query(None);
        let is_shown = url.set_username("").is_ok() && url.set_password(None).is_ok();
        (is_a_service && is_shown).then(|| url.to_string())
    }

    /// Whether GitLab delivers nothing to it for a while, after deliveries that failed.
    pub fn is_disabled(&self) -> bool {
        self.alert_status.as_deref().is_some_and(|status| status != "executable")
    }
}

/// What our webhook shall be.
#[derive(Clone)]
pub struct WantedHook<'a> {
    /// Where it delivers to.
    pub url: &'a str,
    /// The secret token.
    pub token: Option<&'a str>,
    /// The signing token.
    pub signing_token: Option<&'a str>,
}

impl WantedHook<'_> {
    fn body(&self) -> Value {
        let mut body = json!({
            "url": self.url,
            "issues_events": true,
            "confidential_issues_events": true,
            "note_events": true,
            "confidential_note_events": true,
            // GitLab's default is true.
            "push_events": false,
        });
        if let Some(token) = self.token {
            body["token"] = token.into();
        }
        if let Some(token) = self.signing_token {
            body["signing_token"] = token.into();
        }
        body
    }
}

impl Project {
    /// Every webhook of the project.
    ///
    /// # Errors
    ///
    /// As any call; 403 or 404 where the token's role is too low.
    pub async fn hooks(&self) -> Result<Vec<Hook>, GitlabError> {
        self.gitlab.all(&self.plain(Method::GET, "hooks")).await
    }

    /// Makes our webhook.
    ///
    /// # Errors
    ///
    /// As any call; 422 where GitLab will not deliver to that address.
    pub async fn create_hook(&self, wanted: &WantedHook<'_>) -> Result<Hook, GitlabError> {
        let mut body = wanted.body();
        // Later it stays as an administrator wants it.
        body["enable_ssl_verification"] = true.into();
        self.gitlab.get(&self.plain(Method::POST, "hooks").json(body)).await
    }

    /// Sets our webhook right, secrets included: GitLab does not tell whether they are the same.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn change_hook(&self, id: u64, wanted: &WantedHook<'_>) -> Result<Hook, GitlabError> {
        self.gitlab.get(&self.plain(Method::PUT, &format!("hooks/{id}")).json(wanted.body())).await
    }

    /// How the last deliveries went, newest first: the receiver's status, or GitLab's words for why there was none.
    ///
    /// # Errors
    ///
    /// As any call; this log allows 20 a page.
    pub async fn deliveries(&self, hook: u64) -> Result<Vec<String>, GitlabError> {
        #[derive(Deserialize)]
        struct Row {
            #[serde(default)]
            response_status: Option<Value>,
        }
        let endpoint = self.plain(Method::GET, &format!("hooks/{hook}/events")).query("per_page", 20);
        let (rows, _): (Vec<Row>, bool) = self.gitlab.page(&endpoint, 1).await?;
        let word = |status: Value| status.as_str().map_or_else(|| status.to_string(), str::to_owned);
        Ok(rows.into_iter().filter_map(|row| row.response_status.map(word)).collect())
    }

    /// Has GitLab send a test delivery: one that succeeds revives a disabled webhook.
    ///
    /// # Errors
    ///
    /// As any call; 422 where the receiver did not answer 2xx or the project has no issue yet.
    pub async fn test_hook(&self, id: u64) -> Result<(), GitlabError> {
        self.gitlab.call(&self.plain(Method::POST, &format!("hooks/{id}/test/issues_events"))).await.map(drop)
    }
}
