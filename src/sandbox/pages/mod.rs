//! What a person sees: pages rendered on the server, with forms that act as the person who was chosen.

mod acts;
mod chats;
mod views;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::Method;
use minijinja::Environment;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::Inner;
use super::refusal::Refusal;
use super::request::{Reply, segments};
use super::world::World;

/// Who one is before one has chosen.
const DEFAULT_PERSON: &str = "reviewer";

/// A page's template and what it shows.
type View = Result<(&'static str, Value), Refusal>;

/// A call to a page.
struct Visit {
    /// Who visits.
    user: u64,
    username: String,
    /// Path without the prefix of the instance.
    path: String,
    query: String,
    /// Fields of the form.
    fields: Vec<(String, String)>,
}

impl Visit {
    /// A field of the form; empty where it was not sent.
    fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

fn templates() -> &'static Environment<'static> {
    static TEMPLATES: OnceLock<Environment<'static>> = OnceLock::new();
    TEMPLATES.get_or_init(|| {
        let mut templates = Environment::new();
        for (name, source) in [
            ("base.html", include_str!("../../../templates/sandbox/base.html")),
            ("parts.html", include_str!("../../../templates/sandbox/parts.html")),
            ("home.html", include_str!("../../../templates/sandbox/home.html")),
            ("issues.html", include_str!("../../../templates/sandbox/issues.html")),
            ("issue.html", include_str!("../../../templates/sandbox/issue.html")),
            ("board.html", include_str!("../../../templates/sandbox/board.html")),
            ("no_board.html", include_str!("../../../templates/sandbox/no_board.html")),
            ("todos.html", include_str!("../../../templates/sandbox/todos.html")),
            ("labels.html", include_str!("../../../templates/sandbox/labels.html")),
            ("chats.html", include_str!("../../../templates/sandbox/chats.html")),
            ("hooks.html", include_str!("../../../templates/sandbox/hooks.html")),
            ("refused.html", include_str!("../../../templates/sandbox/refused.html")),
        ] {
            // A template that does not parse is missing, and its page says so.
            let _ = templates.add_template(name, source);
        }
        templates
    })
}

/// Answers a call to a page.
pub(super) fn answer(inner: &Arc<Inner>, call: &http::Request<Bytes>, path: &str, query: &str) -> Reply {
    match path {
        "/-/assets/style.css" => {
            return Reply::of(
                "text/css; charset=utf-8",
                200,
                include_str!("../../../templates/sandbox/style.css").into(),
            );
        }
        "/-/assets/board.js" => {
            let script = include_str!("../../../templates/sandbox/board.js");
            return Reply::of("text/javascript; charset=utf-8", 200, script.into());
        }
        _ => {}
    }
    let visit = visit(inner, call, path, query);
    let segments = segments(path);
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    if call.method() == Method::POST {
        let done = acts::act(&mut inner.world(), &visit, &segments);
        inner.dispatch();
        return match done {
            Ok(acts::Next { to, cookie }) => redirect(inner, &to, cookie),
            Err(refusal) => refused(inner, &visit, &refusal),
        };
    }
    let view = views::view(&inner.world(), &visit, &segments);
    match view {
        Ok((template, shown)) => page(inner, &visit, 200, template, shown),
        Err(refusal) => refused(inner, &visit, &refusal),
    }
}

fn visit(inner: &Inner, call: &http::Request<Bytes>, path: &str, query: &str) -> Visit {
    let cookies =
        call.headers().get(http::header::COOKIE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let chosen = cookies.split(';').find_map(|cookie| cookie.trim().strip_prefix("sandbox_person="));
    let world = inner.world();
    let user = chosen.and_then(|name| world.user_named(name)).or_else(|| world.user_named(DEFAULT_PERSON));
    Visit {
        user: user.map_or(0, |user| user.id),
        username: user.map(|user| user.username.clone()).unwrap_or_default(),
        path: path.to_owned(),
        query: query.to_owned(),
        fields: form_urlencoded::parse(call.body()).into_owned().collect(),
    }
}

fn redirect(inner: &Inner, to: &str, cookie: Option<String>) -> Reply {
    let mut reply = Reply::of("text/plain", 303, String::new());
    reply.headers.push(("location", format!("{}{to}", inner.prefix)));
    reply.headers.extend(cookie.map(|cookie| ("set-cookie", cookie)));
    reply
}

fn refused(inner: &Inner, visit: &Visit, refusal: &Refusal) -> Reply {
    let reason = match &refusal.body["message"] {
        Value::String(message) => message.clone(),
        Value::Null => refusal.body["error"].as_str().unwrap_or_default().to_owned(),
        other => other.to_string(),
    };
    let status = if refusal.status == 304 { 200 } else { refusal.status };
    page(inner, visit, status, "refused.html", json!({ "status": refusal.status, "reason": reason }))
}

fn page(inner: &Inner, visit: &Visit, status: u16, template: &str, shown: Value) -> Reply {
    let mut context = frame(&inner.world(), visit, &inner.prefix);
    if let (Value::Object(context), Value::Object(shown)) = (&mut context, shown) {
        context.extend(shown);
    }
    let rendered = templates()
        .get_template(template)
        .and_then(|template| template.render(minijinja::value::Serde(&context)));
    let mut reply = match rendered {
        Ok(html) => Reply::of("text/html; charset=utf-8", status, html),
        Err(error) => Reply::of("text/plain; charset=utf-8", 500, format!("{error:#}")),
    };
    let policy =
        "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self'; form-action 'self'";
    reply.headers.push(("content-security-policy", policy.to_owned()));
    reply
}

/// What is on every page.
fn frame(world: &World, visit: &Visit, root: &str) -> Value {
    let project = &world.project.path;
    let menu: Vec<_> = [
        ("Issues", format!("/{project}/-/issues")),
        ("Board", format!("/{project}/-/boards")),
        ("To-do list", "/dashboard/todos".to_owned()),
        ("Labels", format!("/{project}/-/labels")),
        ("Webhooks", format!("/{project}/-/hooks")),
        ("Chats", "/-/chats".to_owned()),
    ]
    .into_iter()
    .map(|(name, path)| json!({"name": name, "here": visit.path.starts_with(&path), "path": path}))
    .collect();
    let people: Vec<_> = world
        .users
        .iter()
        .map(|user| {
            let role = world.members.get(&user.id).map_or("no member".to_owned(), ToString::to_string);
            let token = world.tokens.iter().find(|token| token.user == user.id).map(|token| &token.value);
            json!({"username": user.username, "role": role, "token": token})
        })
        .collect();
    json!({
        "root": root, "project": project, "project_id": world.project.id, "url": world.base,
        "version": world.options.version, "menu": menu, "people": people, "me": visit.username, "here": visit.path,
    })
}
