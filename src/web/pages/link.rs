//! `/a/{token}`: a link from a message shows the match and asks. Only the form's button acts; whoever merely opens the
//! link – a mail scanner, a preview, a curious finger – changes nothing.

use axum::extract::{Request, State as FromState};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::json;

use super::card::{Card, Length};
use super::forms;
use super::visit::{Named, Visit};
use crate::domain::action_link::{ActionLink, Claim};
use crate::domain::decision_comment::decision_comment;
use crate::domain::history::Through;
use crate::domain::{Channel, State};
use crate::engine::{Decision, DecisionError, EngineError};
use crate::mirror::{Record, Standing};
use crate::web::Web;

/// What a token is worth now.
enum Worth {
    /// It is none of ours, or its match is none any more.
    Nothing,
    /// GitLab is still being read: it cannot be told yet.
    Unknown,
    /// It may decide.
    Open(ActionLink, Box<Record>),
    /// Somebody has decided since it was sent, by this link maybe.
    Decided(ActionLink, Box<Record>),
    /// It is too old, whatever has been decided.
    Expired(Box<Record>),
}

impl Worth {
    fn of(web: &Web, token: &str) -> Result<Self, EngineError> {
        let Some((links, claim)) = web.settings().links.as_ref().zip(Claim::parse(token)) else {
            return Ok(Self::Nothing);
        };
        let engine = web.engine();
        let record = engine.mirror().record(claim.iid())?.filter(|one| one.standing == Standing::Live);
        let Some(record) = record.map(Box::new) else {
            return Ok(if engine.has_read_everything()? { Self::Nothing } else { Self::Unknown });
        };
        Ok(match links.genuine(claim, record.issue_id) {
            None => Self::Nothing,
            Some(link) if engine.clock().now() >= link.expires => Self::Expired(record),
            Some(link) if is_decided(&link, &record) => Self::Decided(link, record),
            Some(link) => Self::Open(link, record),
        })
    }
}

/// Where a match is pending again, a link from before somebody decided is used all the same.
fn is_decided(link: &ActionLink, record: &Record) -> bool {
    record.state != State::Pending || record.decided_at.is_some_and(|at| at > link.made())
}

/// What decides stands in the address: no page that is opened from here is told of it.
pub(super) async fn tell_nobody(mut response: Response) -> Response {
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Shows the match and asks.
pub(super) async fn page(visit: Visit, Named(token): Named) -> Response {
    visit.answer(show(&visit, &token))
}

fn show(visit: &Visit, token: &str) -> Result<Response, EngineError> {
    match Worth::of(&visit.web, token)? {
        Worth::Nothing => Ok(visit.say(StatusCode::NOT_FOUND, "no_link", "")),
        Worth::Unknown => Ok(visit.failed(&EngineError::NotReady)),
        Worth::Open(link, record) => draw(visit, StatusCode::OK, "open", token, link, &record),
        Worth::Decided(link, record) => draw(visit, StatusCode::OK, "decided", token, link, &record),
        Worth::Expired(record) => {
            // Mails are kept for years, and this page asks for no login: nothing of the match itself is shown any more.
            let known = json!({ "iid": record.iid, "state": record.state, "web_url": record.web_url });
            Ok(visit.page(StatusCode::GONE, "link", json!({ "worth": "expired", "card": known })))
        }
    }
}

fn draw(
    visit: &Visit,
    status: StatusCode,
    worth: &str,
    token: &str,
    link: ActionLink,
    record: &Record,
) -> Result<Response, EngineError> {
    let people = visit.people();
    let context = json!({
        "card": Card::of(visit.web.engine(), &people, record, Length::Whole)?,
        "worth": worth,
        "to": link.action.state(),
        "token": token,
        "expires": people.moment(link.expires),
    });
    Ok(visit.page(status, "link", context))
}

/// The button: decides, under the name of the channel that the link was sent on.
pub(super) async fn post(FromState(web): FromState<Web>, Named(token): Named, request: Request) -> Response {
    let (visit, _, fields) = match forms::read(request, &web, forms::SMALL).await {
        Ok(form) => form,
        Err(response) => return response,
    };
    let Ok(comment) = decision_comment(fields.one("comment")) else {
        return forms::comment_too_long(&visit);
    };
    let link = match Worth::of(&web, &token) {
        Ok(Worth::Open(link, _)) => link,
        Ok(Worth::Decided(link, record)) => {
            // A button that was pressed twice has done what it says.
            let same = record.state == link.action.state();
            let status = if same { StatusCode::OK } else { StatusCode::CONFLICT };
            return visit.answer(draw(&visit, status, "decided", &token, link, &record));
        }
        Ok(_) => return visit.answer(show(&visit, &token)),
        Err(error) => return visit.failed(&error),
    };
    let decision = Decision {
        from: Some(State::Pending),
        to: link.action.state(),
        by: name(link.channel),
        through: Through::Link,
        comment,
    };
    let decided = web.engine().decide_as_of(link.iid, decision, link.made()).await;
    web.finish_inside_the_request().await;
    match decided {
        Ok(record) => visit.answer(draw(&visit, StatusCode::OK, "done", &token, link, &record)),
        // Somebody was faster: what they did is shown.
        Err(DecisionError::NotAllowed { .. } | DecisionError::Unknown(_)) => {
            visit.answer(show(&visit, &token).map(|mut response| {
                if response.status() == StatusCode::OK {
                    *response.status_mut() = StatusCode::CONFLICT;
                }
                response
            }))
        }
        Err(DecisionError::Engine(error)) => visit.failed(&error),
    }
}

/// Mails are forwarded: who pressed the button is not known, only where the link came from.
fn name(channel: Channel) -> String {
    format!("link:{channel}")
}
