//! The instance, users, tokens, the project and its members.

use serde_json::{Value, json};

use super::super::people::User;
use super::super::refusal::Refusal;
use super::super::request::{Answer, Request};
use super::super::world::{World, stamp};
use super::{Answered, page};

pub(super) fn version(world: &World, request: &Request) -> Answered {
    request.actor()?;
    Ok(Answer::Json(
        200,
        json!({
            "version": world.options.version,
            "revision": "5a4bdb0c1f2",
            "kas": {"enabled": false, "externalUrl": null, "externalK8sProxyUrl": null, "version": null},
            "enterprise": true,
        }),
    ))
}

impl World {
    /// `UserBasic` of the API.
    pub(in super::super) fn user_basic(&self, id: u64) -> Value {
        self.user(id).map_or(Value::Null, |user| self.basic(user))
    }

    fn basic(&self, user: &User) -> Value {
        json!({
            "id": user.id,
            "username": user.username,
            "public_email": user.public_email,
            "name": user.name,
            "state": "active",
            "locked": false,
            "avatar_url": self.avatar_url(user.id),
            "web_url": format!("{}/{}", self.base, user.username),
        })
    }
}

pub(super) fn current(world: &World, request: &Request) -> Answered {
    let actor = request.actor()?;
    let user = world.user(actor).ok_or_else(Refusal::unauthorized)?;
    let mut body = world.basic(user);
    let address = format!("{}@example.com", user.username);
    let created = stamp(user.created_at);
    merge(
        &mut body,
        json!({
            "created_at": created, "bio": "", "location": "", "linkedin": "", "twitter": "", "discord": "",
            "website_url": "", "github": "", "organization": "", "job_title": "", "pronouns": null,
            "bot": user.bot, "work_information": null, "local_time": null, "last_sign_in_at": created,
            "confirmed_at": created, "last_activity_on": &created[..10], "email": address, "theme_id": 3,
            "color_scheme_id": 1, "projects_limit": 100_000, "current_sign_in_at": created, "identities": [],
            "can_create_group": false, "can_create_project": false, "two_factor_enabled": false, "external": false,
            "private_profile": false, "commit_email": address, "preferred_language": "en",
        }),
    );
    Ok(Answer::Json(200, body))
}

pub(super) fn users(world: &World, request: &Request) -> Answered {
    request.actor()?;
    let wanted = request.params.text("username");
    let search = request.params.text("search").map(str::to_lowercase);
    let rows = world
        .users
        .iter()
        .filter(|user| wanted.is_none_or(|name| user.username.eq_ignore_ascii_case(name)))
        .filter(|user| search.as_ref().is_none_or(|text| user.username.contains(text)))
        .map(|user| world.basic(user));
    page(request, rows.collect::<Vec<_>>())
}

pub(super) fn user(world: &World, request: &Request, id: &str) -> Answered {
    request.actor()?;
    let user = id.parse().ok().and_then(|id| world.user(id)).ok_or_else(|| Refusal::not_found("User"))?;
    let mut body = world.basic(user);
    body["bot"] = user.bot.into();
    Ok(Answer::Json(200, body))
}

pub(super) fn token(world: &World, request: &Request) -> Answered {
    request.actor()?;
    let token = world
        .tokens
        .iter()
        .find(|token| Some(token.id) == request.token)
        .ok_or_else(Refusal::unauthorized)?;
    Ok(Answer::Json(
        200,
        json!({
            "id": token.id,
            "name": format!("{} token", world.username(token.user)),
            "revoked": token.revoked,
            "created_at": stamp(token.created_at),
            "description": null,
            "scopes": token.scopes,
            "user_id": token.user,
            "last_used_at": token.last_used_at.map(stamp),
            "active": token.is_active(world.now()),
            "expires_at": token.expires_at,
        }),
    ))
}

impl World {
    /// `BasicProject` of the API.
    pub(in super::super) fn project_basic(&self) -> Value {
        let path = &self.project.path;
        let (namespace, name) = path.rsplit_once('/').unwrap_or(("", path));
        let web = format!("{}/{path}", self.base);
        let created = stamp(self.project.created_at);
        json!({
            "id": self.project.id,
            "description": null,
            "name": name,
            "name_with_namespace": format!("{namespace} / {name}"),
            "path": name,
            "path_with_namespace": path,
            "created_at": created,
            "default_branch": "main",
            "tag_list": [],
            "topics": [],
            "ssh_url_to_repo": format!("git@{}:{path}.git", self.host()),
            "http_url_to_repo": format!("{web}.git"),
            "web_url": web,
            "readme_url": null,
            "avatar_url": null,
            "star_count": 0,
            "forks_count": 0,
            "last_activity_at": created,
            "namespace": {
                "id": 9, "name": namespace, "path": namespace, "kind": "group", "full_path": namespace,
                "parent_id": null, "avatar_url": null, "web_url": format!("{}/groups/{namespace}", self.base),
            },
        })
    }
}

pub(super) fn project(world: &World, request: &Request) -> Answered {
    let mut body = world.project_basic();
    let access = request.user.and_then(|id| world.members.get(&id));
    let opened = world.issues.values().filter(|issue| issue.state.word() == "opened").count();
    merge(
        &mut body,
        json!({
            "visibility": world.options.visibility.word(),
            "archived": false,
            "empty_repo": false,
            "issues_enabled": true,
            "issues_access_level": "enabled",
            "open_issues_count": opened,
            "updated_at": stamp(world.project.created_at),
            "marked_for_deletion_on": null,
            "permissions": {
                "project_access": access.map(|role| json!({"access_level": role.level(), "notification_level": 3})),
                "group_access": null,
            },
        }),
    );
    Ok(Answer::Json(200, body))
}

fn member_json(world: &World, id: u64, level: u64) -> Value {
    let mut body = world.user_basic(id);
    merge(
        &mut body,
        json!({
            "access_level": level,
            "created_at": stamp(world.project.created_at),
            "expires_at": null,
            "membership_state": "active",
        }),
    );
    body
}

pub(super) fn members(world: &World, request: &Request) -> Answered {
    let wanted = request.params.numbers("user_ids")?;
    let query = request.params.text("query").unwrap_or_default().to_lowercase();
    let rows: Vec<_> = world
        .members
        .iter()
        .filter(|(id, _)| wanted.as_ref().is_none_or(|wanted| wanted.contains(id)))
        .filter(|(id, _)| world.username(**id).contains(&query))
        .map(|(id, role)| member_json(world, *id, role.level()))
        .collect();
    page(request, rows)
}

pub(super) fn member(world: &World, id: u64) -> Answered {
    let role = world.members.get(&id).ok_or_else(Refusal::no_row)?;
    Ok(Answer::Json(200, member_json(world, id, role.level())))
}

fn merge(into: &mut Value, fields: Value) {
    if let (Value::Object(into), Value::Object(fields)) = (into, fields) {
        into.extend(fields);
    }
}
