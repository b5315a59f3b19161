//! What the forms of the pages do, as the person who was chosen.

use super::super::records::State;
use super::super::refusal::Refusal;
use super::super::rules::{Column, IssueChange, LabelChange, NewIssue};
use super::super::world::World;
use super::Visit;
use super::views::{number, within};

/// Where the browser goes next.
pub(super) struct Next {
    pub to: String,
    pub cookie: Option<String>,
}

impl Next {
    fn to(path: impl Into<String>) -> Self {
        Self { to: path.into(), cookie: None }
    }
}

/// Does what a form asks for.
pub(super) fn act(world: &mut World, visit: &Visit, path: &[&str]) -> Result<Next, Refusal> {
    let me = visit.user;
    match path {
        ["-", "person"] => choose(world, visit),
        ["dashboard", "todos", id, "done"] => {
            world.mark_as_done(me, number(id)?)?;
            Ok(Next::to("/dashboard/todos"))
        }
        _ => {
            let project = format!("/{}/-", world.project.path);
            match within(world, path)? {
                ["issues"] => {
                    let new = NewIssue {
                        title: visit.field("title").to_owned(),
                        rest: IssueChange {
                            description: Some(visit.field("description").to_owned()),
                            labels: Some(visit.field("labels").split(',').map(str::to_owned).collect()),
                            ..IssueChange::default()
                        },
                        iid: None,
                        created_at: None,
                    };
                    let iid = world.create_issue(me, new)?;
                    Ok(Next::to(format!("{project}/issues/{iid}")))
                }
                ["issues" | "work_items", iid, what] => {
                    let iid = number(iid)?;
                    on_issue(world, visit, iid, what)?;
                    Ok(Next::to(format!("{project}/issues/{iid}")))
                }
                ["boards"] => {
                    let board = world.create_board(me, visit.field("name"))?;
                    for label in world.labels.iter().map(|label| label.id).collect::<Vec<_>>() {
                        world.create_list(me, board, label)?;
                    }
                    Ok(Next::to(format!("{project}/boards/{board}")))
                }
                ["boards", id, "lists"] => {
                    let board = number(id)?;
                    let label = world.label_at(visit.field("label"))?.id;
                    world.create_list(me, board, label)?;
                    Ok(Next::to(format!("{project}/boards/{board}")))
                }
                ["boards", id, "move"] => {
                    let board = number(id)?;
                    let (from, to) = (Column::named(visit.field("from")), Column::named(visit.field("to")));
                    world.drag(me, board, number(visit.field("iid"))?, &from, &to)?;
                    Ok(Next::to(format!("{project}/boards/{board}")))
                }
                ["labels"] => {
                    world.create_label(me, visit.field("name"), visit.field("color"), None)?;
                    Ok(Next::to(format!("{project}/labels")))
                }
                ["labels", id, "rename"] => {
                    let change =
                        LabelChange { name: Some(visit.field("name").to_owned()), ..LabelChange::default() };
                    world.update_label(me, id, change)?;
                    Ok(Next::to(format!("{project}/labels")))
                }
                ["labels", id, "delete"] => {
                    world.delete_label(me, id)?;
                    Ok(Next::to(format!("{project}/labels")))
                }
                _ => Err(Refusal::not_found("Page")),
            }
        }
    }
}

fn choose(world: &World, visit: &Visit) -> Result<Next, Refusal> {
    let user = world.user_named(visit.field("username")).ok_or_else(|| Refusal::not_found("User"))?;
    let back = visit.field("back");
    // Two slashes at the start would lead to another host.
    let own = back.starts_with('/') && !back.starts_with("//") && !back.contains('\\');
    Ok(Next {
        to: if own { back.to_owned() } else { "/".to_owned() },
        cookie: Some(format!("sandbox_person={}; Path=/; HttpOnly; SameSite=Lax", user.username)),
    })
}

fn on_issue(world: &mut World, visit: &Visit, iid: u64, what: &str) -> Result<(), Refusal> {
    let me = visit.user;
    let named = |field: &str| Some(visit.field(field).to_owned()).into_iter().filter(|name| !name.is_empty());
    let change = match what {
        "labels" => IssueChange {
            add_labels: named("add").collect(),
            remove_labels: named("remove").collect(),
            ..IssueChange::default()
        },
        "state" => {
            let closes = visit.field("event") == "close";
            IssueChange {
                state: Some(if closes { State::Closed } else { State::Opened }),
                ..IssueChange::default()
            }
        }
        "assignee" => {
            let user = world.user_named(visit.field("username")).map(|user| user.id);
            IssueChange { assignees: Some(user.into_iter().collect()), ..IssueChange::default() }
        }
        "notes" => return world.comment(me, iid, visit.field("body"), false).map(drop),
        "reactions" => return world.react(me, iid, visit.field("name")).map(drop),
        _ => return Err(Refusal::not_found("Page")),
    };
    world.update_issue(me, iid, change)
}
