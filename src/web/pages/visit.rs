//! A visit to a page: in which language, by whom, and the frame that every page has.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};

use super::error_words::Complaint;
use super::session::Session;
use super::when::People;
use crate::domain::Language;
use crate::engine::EngineError;
use crate::web::Web;

/// What a page may load and do: our own style, script and icon, and forms to ourselves; nothing inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A visit to a page.
pub(in crate::web) struct Visit {
    /// The service.
    pub(in crate::web) web: Web,
    /// The visitor's language.
    pub(in crate::web) language: Language,
    /// Who they are, where they are logged in.
    pub(in crate::web) session: Option<Session>,
    /// The path and the query of the address.
    pub(super) here: String,
    query: BTreeMap<String, String>,
}

impl FromRequestParts<Web> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        let query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let now = web.engine().clock().now();
        Ok(Self {
            language: language(&parts.headers).unwrap_or_else(|| web.engine().policy().language),
            session: Session::of(&parts.headers, web.settings(), now),
            here: parts.uri.path_and_query().map_or("/", |all| all.as_str()).to_owned(),
            query,
            web: web.clone(),
        })
    }
}

/// What the path names; empty, which is nobody's name, where a mail program has broken it.
pub(super) struct Named(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let named = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(named.map(|Path(name)| name).unwrap_or_default()))
    }
}

impl Visit {
    /// A part of the address's query; empty where it is not there.
    pub(super) fn query(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    /// The path below which a proxy shows the service, without a slash at its end.
    pub(in crate::web) fn root(&self) -> &str {
        self.web.root()
    }

    /// How this visitor reads times.
    pub(super) fn people(&self) -> People {
        People::new(self.language, &self.web.engine().policy(), self.web.engine().clock().now())
    }

    /// A page: `templates/pages/{name}.html` on the layout that all share. What `context` holds is escaped.
    pub(in crate::web) fn page(&self, status: StatusCode, name: &str, mut context: Value) -> Response {
        let root = self.root();
        context["language"] = self.language.pick("de", "en").into();
        context["root"] = root.into();
        context["place"] = place(name).into();
        context["here"] = self.here.as_str().into();
        context["is_from_a_message"] = self.here.starts_with("/a/").into();
        context["reloads"] = matches!(name, "inbox" | "stats" | "status").into();
        let templates = self.web.engine().templates();
        context["assets"] = json!(self.web.inner.pages.assets(templates).addresses(root));
        context["session"] = self
            .session
            .as_ref()
            .map_or(Value::Null, |session| json!({ "name": session.name, "form": session.form_token }));
        context["notices"] = self.notices();
        let rendered = templates.render(&format!("pages/{name}.html"), &context);
        match rendered {
            Ok(html) => (status, frame(), Html(html)).into_response(),
            Err(error) => {
                tracing::error!(%error, "a page could not be rendered");
                let text = "The page could not be rendered; the log names the template and the line.\n";
                (StatusCode::INTERNAL_SERVER_ERROR, frame(), text).into_response()
            }
        }
    }

    /// A page that says one thing; `kind` picks the words.
    pub(in crate::web) fn say(&self, status: StatusCode, kind: &str, detail: &str) -> Response {
        self.page(status, "message", json!({ "kind": kind, "detail": detail }))
    }

    /// What became of a page, or a page that says why there is none.
    pub(super) fn answer(&self, page: Result<Response, EngineError>) -> Response {
        page.unwrap_or_else(|error| self.failed(&error))
    }

    /// A page that says what did not work.
    pub(super) fn failed(&self, error: &EngineError) -> Response {
        tracing::warn!(%error, "a page could not be shown");
        match error.retry_after() {
            Some(after) => {
                let mut response = self.say(StatusCode::SERVICE_UNAVAILABLE, "later", &error.to_string());
                response.headers_mut().insert(header::RETRY_AFTER, after.as_secs().max(1).into());
                response
            }
            None => self.say(StatusCode::BAD_GATEWAY, "refused", &error.to_string()),
        }
    }

    /// To another page of ours.
    pub(super) fn go(&self, path: &str) -> Response {
        let to = HeaderValue::try_from(format!("{}{path}", self.root()));
        let to = to.unwrap_or(HeaderValue::from_static("/"));
        (StatusCode::SEE_OTHER, [(header::LOCATION, to)], frame()).into_response()
    }

    /// What somebody has to know on whatever page they are: what does not work right now.
    fn notices(&self) -> Value {
        if self.session.is_none() {
            return json!([]);
        }
        let engine = self.web.engine();
        let status = engine.status();
        let mut notices = Vec::new();
        if let Some(error) = &status.gitlab_error {
            notices.push(json!({ "kind": "gitlab", "detail": error }));
        } else if !engine.has_read_everything().unwrap_or_default() {
            notices.push(json!({ "kind": "reading", "detail": "" }));
        }
        if let Some(problem) = &status.settings_problem {
            let wrong = problem.wrong.iter();
            let wrong = wrong.map(|one| json!({ "key": one.key, "wrong": Complaint::of(&one.message) }));
            notices.push(json!({ "kind": "settings", "wrong": wrong.collect::<Vec<_>>() }));
        }
        let bots = engine.unlisted_bots();
        if !bots.is_empty() {
            let ids: Vec<String> = bots.iter().map(ToString::to_string).collect();
            notices.push(json!({ "kind": "bots", "detail": ids.join(", ") }));
        }
        notices.into()
    }
}

/// The entry of the menu that a page belongs to.
fn place(name: &str) -> &str {
    match name {
        "match" | "failed" | "draft" | "send" => "inbox",
        name => name,
    }
}

/// The headers of every page.
fn frame() -> [(header::HeaderName, HeaderValue); 3] {
    [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        // With `no-referrer` a browser would not say where a form comes from.
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]
}

/// The first of our languages in the order in which the visitor likes them.
fn language(headers: &HeaderMap) -> Option<Language> {
    let asked = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
    let mut best: Option<(f32, Language)> = None;
    for part in asked.split(',') {
        let mut pieces = part.split(';');
        let tag = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
        let weight = pieces.find_map(|piece| piece.trim().strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
        let language = match tag.split('-').next() {
            Some("de") => Language::De,
            Some("en") => Language::En,
            _ => continue,
        };
        if weight > 0.0 && best.is_none_or(|(than, _)| weight > than) {
            best = Some((weight, language));
        }
    }
    best.map(|(_, language)| language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_taken_by_its_weight_and_only_where_it_is_ours() {
        let of = |asked: &str| {
            language(&[(header::ACCEPT_LANGUAGE, asked.parse().unwrap())].into_iter().collect())
        };
        assert_eq!(of("de-AT,de;q=0.9,en;q=0.8"), Some(Language::De));
        assert_eq!(of("fr, en-GB;q=0.8, de;q=0.7"), Some(Language::En));
        assert_eq!(of("en;q=0.2, de;q=0.7"), Some(Language::De));
        assert_eq!(of("en;q=0, fr"), None);
        assert_eq!(language(&HeaderMap::new()), None);
    }
}
