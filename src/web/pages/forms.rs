//! What a form sends: by somebody who is logged in, from a page of ours (the protection against CSRF).

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;

use super::Visit;
use super::login;
use super::session::Session;
use crate::domain::decision_comment::COMMENT_LIMIT;
use crate::web::Web;
use crate::web::bodies::{self, Bounds, Unread};

/// Largest form: settings, a draft.
const LIMIT: usize = 1024 * 1024;
/// Largest form that asks for no login: a token, or a comment on a decision.
pub(super) const SMALL: usize = 128 * 1024;
/// How long a form may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// Kibibytes of forms that are being read at the same time from whoever is not logged in.
pub(super) const ROOM: usize = 16 * 1024;

/// Somebody who is logged in and looks at a page; anybody else is sent to the login.
pub(super) struct Member {
    /// The visit.
    pub(super) visit: Visit,
}

impl FromRequestParts<Web> for Member {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, web: &Web) -> Result<Self, Response> {
        let Ok(visit) = Visit::from_request_parts(parts, web).await;
        if visit.session.is_none() {
            let next: String = url::form_urlencoded::byte_serialize(visit.here.as_bytes()).collect();
            let to = if visit.here == "/" { "/login".to_owned() } else { format!("/login?next={next}") };
            return Err(visit.go(&to));
        }
        Ok(Self { visit })
    }
}

/// A form that somebody sent who is logged in, from a page that we made for them.
pub(super) struct Posted {
    /// The visit.
    pub(super) visit: Visit,
    /// Who sent it.
    pub(super) session: Session,
    /// What it says.
    pub(super) fields: Fields,
}

impl FromRequest<Web> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Web) -> Result<Self, Response> {
        let (visit, headers, fields) = read(request, web, LIMIT).await?;
        let Some(session) = visit.session.clone() else {
            return Err(login::ended(&visit, &fields, comes_from_us(&headers, web)));
        };
        if !comes_from_us(&headers, web) || !session.is_form_of_ours(fields.one("form")) {
            tracing::warn!(by = session.name, "a form was refused that did not come from a page of ours");
            return Err(visit.say(StatusCode::FORBIDDEN, "foreign_form", ""));
        }
        Ok(Self { visit, session, fields })
    }
}

/// A form as it was sent, by whomever.
pub(super) async fn read(
    request: Request,
    web: &Web,
    limit: usize,
) -> Result<(Visit, HeaderMap, Fields), Response> {
    let (mut parts, body) = request.into_parts();
    let Ok(visit) = Visit::from_request_parts(&mut parts, web).await;
    let room = visit.session.is_none().then_some(&web.inner.pages.forms);
    let bounds = Bounds { limit, deadline: DEADLINE, room };
    match bodies::read(&parts.headers, body, bounds).await {
        Ok(body) => Ok((visit, parts.headers, Fields::parse(&body))),
        Err(Unread::NoRoom) => {
            let mut response = visit.say(Unread::NoRoom.status(), "later", "");
            response.headers_mut().insert(header::RETRY_AFTER, Unread::RETRY_AFTER.as_secs().into());
            Err(response)
        }
        Err(why) => Err(visit.say(why.status(), "broken_form", "")),
    }
}

/// Whether a browser says that a form comes from our own pages. One that says nothing is believed: every form but the
/// login's carries a token that is looked at too.
pub(super) fn comes_from_us(headers: &HeaderMap, web: &Web) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(header::HeaderName::from_static("sec-fetch-site")) {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text(header::ORIGIN) else { return true };
    let public = web.settings().public_url.as_ref().map(|url| url.origin().ascii_serialization());
    let host = text(header::HOST).unwrap_or_default();
    public.as_deref() == Some(origin) || origin.split_once("://").is_some_and(|(_, named)| named == host)
}

/// The fields of a form in their order.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads a form's body.
    pub(super) fn parse(body: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(body).into_owned().collect())
    }

    /// A field; empty where it was not sent.
    pub(super) fn one(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// Every field of a name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A field that names a page of ours; the inbox where it names anything else.
    pub(super) fn local(&self, name: &str) -> &str {
        local(self.one(name))
    }
}

/// Says that what a form says about a decision is too long.
pub(super) fn comment_too_long(visit: &Visit) -> Response {
    visit.say(StatusCode::UNPROCESSABLE_ENTITY, "comment_too_long", &COMMENT_LIMIT.to_string())
}

/// The path if it leads to a page of ours, else to the inbox.
pub(super) fn local(path: &str) -> &str {
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if path.starts_with('/') && !path.starts_with("//") && plain { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_ours_are_gone_to() {
        for fine in ["/", "/matches/7", "/?state=approved&q=a%20b"] {
            assert_eq!(local(fine), fine);
        }
        for foreign in
            ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nSet-Cookie: x", "x"]
        {
            assert_eq!(local(foreign), "/");
        }
    }

    #[test]
    fn a_form_has_fields_once_or_several_times() {
        let fields = Fields::parse("iid=3&iid=5&comment=gr%C3%BC%C3%9Fe+dich".as_bytes());
        assert_eq!(fields.all("iid").collect::<Vec<_>>(), ["3", "5"]);
        assert_eq!((fields.one("comment"), fields.one("none")), ("grüße dich", ""));
    }
}
