//! REST v4: which address is what. One topic a file; what is done stands in `rules`.

mod boards;
mod events;
mod files;
mod hooks;
pub(super) mod issues;
mod labels;
mod notes;
mod people;
mod reactions;
mod todos;

use http::Method;
use serde_json::Value;

use super::people::Ability;
use super::refusal::Refusal;
use super::request::{Answer, Page, Request};
use super::world::World;

type Answered = Result<Answer, Refusal>;

/// Answers a call to `/api/v4/…`; `path` are the segments after it.
pub(super) fn answer(world: &mut World, request: &Request, path: &[&str]) -> Answered {
    let get = matches!(request.method, Method::GET | Method::HEAD);
    match path {
        ["version" | "metadata"] if get => people::version(world, request),
        ["user"] if get => people::current(world, request),
        ["users"] if get => people::users(world, request),
        ["users", id] if get => people::user(world, request, id),
        ["personal_access_tokens", "self"] if get => people::token(world, request),
        ["todos"] if get => todos::list(world, request),
        ["todos", "mark_as_done"] if request.method == Method::POST => todos::all_done(world, request),
        ["todos", id, "mark_as_done"] if request.method == Method::POST => {
            todos::done(world, request, number(id)?)
        }
        ["projects", project, rest @ ..] => {
            let named = *project == world.project.path || project.parse() == Ok(world.project.id);
            if !named || !world.can(request.user, Ability::Read) {
                // Writing needs a user before anything is looked up.
                if !get {
                    request.actor()?;
                }
                return Err(Refusal::not_found("Project"));
            }
            if !get {
                request.actor()?;
            }
            in_project(world, request, rest)
        }
        _ => Err(Refusal::no_route()),
    }
}

fn in_project(world: &mut World, request: &Request, path: &[&str]) -> Answered {
    match (request.method.as_str(), path) {
        ("GET", []) => people::project(world, request),
        ("GET", ["members"] | ["members", "all"]) => people::members(world, request),
        ("GET", ["members", id] | ["members", "all", id]) => people::member(world, number(id)?),
        ("GET" | "HEAD", ["repository", "files", file]) => files::get(world, request, file),
        ("GET", ["repository", "files", file, "raw"]) => files::raw(world, request, file),
        ("GET", ["issues"]) => issues::list(world, request),
        ("POST", ["issues"]) => issues::create(world, request),
        (_, ["issues", iid, rest @ ..]) => in_issue(world, request, number(iid)?, rest),
        ("GET", ["labels"]) => labels::list(world, request),
        ("POST", ["labels"]) => labels::create(world, request),
        // The old addresses, with the label among the parameters; python-gitlab still uses them.
        ("PUT", ["labels"]) => labels::update(world, request, &labels::named(request)?),
        ("DELETE", ["labels"]) => labels::delete(world, request, &labels::named(request)?),
        ("GET", ["labels", name]) => labels::get(world, name),
        ("PUT", ["labels", name]) => labels::update(world, request, name),
        ("DELETE", ["labels", name]) => labels::delete(world, request, name),
        (_, ["boards", rest @ ..]) => boards::answer(world, request, rest),
        (_, ["hooks", rest @ ..]) => hooks::answer(world, request, rest),
        _ => Err(Refusal::no_route()),
    }
}

fn in_issue(world: &mut World, request: &Request, iid: u64, path: &[&str]) -> Answered {
    match (request.method.as_str(), path) {
        ("GET", []) => issues::get(world, request, iid),
        ("PUT", []) => issues::update(world, request, iid),
        ("DELETE", []) => issues::delete(world, request, iid),
        ("POST", ["todo"]) => todos::create(world, request, iid),
        ("GET", ["notes"]) => notes::list(world, request, iid),
        ("POST", ["notes"]) => notes::create(world, request, iid),
        ("GET", ["notes", id]) => notes::get(world, request, iid, number(id)?),
        ("PUT", ["notes", id]) => notes::update(world, request, iid, number(id)?),
        ("DELETE", ["notes", id]) => notes::delete(world, request, iid, number(id)?),
        ("GET", ["award_emoji"]) => reactions::list(world, request, iid),
        ("POST", ["award_emoji"]) => reactions::create(world, request, iid),
        ("GET", ["award_emoji", id]) => reactions::get(world, request, iid, number(id)?),
        ("DELETE", ["award_emoji", id]) => reactions::delete(world, request, iid, number(id)?),
        ("GET", ["resource_label_events"]) => events::labels(world, request, iid),
        ("GET", ["resource_label_events", id]) => events::label(world, request, iid, number(id)?),
        ("GET", ["resource_state_events"]) => events::states(world, request, iid),
        ("GET", ["resource_state_events", id]) => events::state(world, request, iid, number(id)?),
        _ => Err(Refusal::no_route()),
    }
}

fn number(text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| Refusal::no_row())
}

fn page(request: &Request, rows: impl IntoIterator<Item = Value>) -> Answered {
    page_of(request, rows, |row| row)
}

/// A page of things that are written only where the page shows them.
fn page_of<T>(
    request: &Request,
    rows: impl IntoIterator<Item = T>,
    write: impl FnMut(T) -> Value,
) -> Answered {
    Ok(Answer::Page(Page::cut(&request.params, 100, rows.into_iter().map(Some).collect(), write)?))
}

/// A page of a list from which GitLab takes rows away after paging: where that is switched on, every third row is
/// one that the caller may not see.
fn page_with_gaps(world: &World, request: &Request, rows: Vec<Value>) -> Answered {
    if !world.options.short_pages {
        return page(request, rows);
    }
    let mut gapped = Vec::new();
    for (at, row) in rows.into_iter().enumerate() {
        gapped.push(Some(row));
        if at % 2 == 1 {
            gapped.push(None);
        }
    }
    Ok(Answer::Page(Page::cut(&request.params, 100, gapped, |row| row)?))
}
