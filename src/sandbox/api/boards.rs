//! Boards and their lists.

use serde_json::{Value, json};

use super::super::records::{Board, BoardList};
use super::super::refusal::Refusal;
use super::super::request::{Answer, Request};
use super::super::world::World;
use super::{Answered, number, page};

fn list_json(world: &World, board: &Board, list: &BoardList) -> Value {
    json!({
        "id": list.id,
        "label": world.label(list.label).map(super::super::records::Label::basic),
        "position": board.lists.iter().position(|other| other.id == list.id),
        "max_issue_count": 0,
        "max_issue_weight": 0,
        "limit_metric": null,
    })
}

fn board_json(world: &World, board: &Board) -> Value {
    let mut project = world.project_basic();
    if let Value::Object(fields) = &mut project {
        fields.remove("namespace");
    }
    json!({
        "id": board.id,
        "name": board.name,
        "hide_backlog_list": false,
        "hide_closed_list": false,
        "project": project,
        "lists": board.lists.iter().map(|list| list_json(world, board, list)).collect::<Vec<_>>(),
        "group": null,
        "milestone": null,
        "assignee": null,
        "labels": [],
        "weight": null,
    })
}

fn shown(world: &World, id: u64, status: u16) -> Answered {
    Ok(Answer::Json(status, board_json(world, world.board(id)?)))
}

pub(super) fn answer(world: &mut World, request: &Request, path: &[&str]) -> Answered {
    match (request.method.as_str(), path) {
        ("GET", []) => {
            let rows: Vec<_> = world.boards.iter().map(|board| board_json(world, board)).collect();
            page(request, rows)
        }
        ("POST", []) => {
            let name = request.params.required("name")?;
            let id = world.create_board(request.actor()?, name)?;
            shown(world, id, 201)
        }
        ("GET", [board]) => shown(world, number(board)?, 200),
        ("PUT", [board]) => {
            let id = number(board)?;
            let name = request.params.text("name").map(str::to_owned);
            let board = world.board_mut(request.actor()?, id)?;
            board.name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| board.name.clone());
            shown(world, id, 200)
        }
        ("DELETE", [board]) => {
            let id = number(board)?;
            world.board_mut(request.actor()?, id)?;
            world.boards.retain(|board| board.id != id);
            Ok(Answer::Json(204, Value::Null))
        }
        (_, [board, "lists", rest @ ..]) => lists(world, request, number(board)?, rest),
        _ => Err(Refusal::no_route()),
    }
}

fn lists(world: &mut World, request: &Request, id: u64, path: &[&str]) -> Answered {
    let board = world.board(id)?;
    let position = |list: &str| -> Result<usize, Refusal> {
        let list = number(list)?;
        board.lists.iter().position(|other| other.id == list).ok_or_else(|| Refusal::not_found("List"))
    };
    match (request.method.as_str(), path) {
        ("GET", []) => {
            let rows: Vec<_> = board.lists.iter().map(|list| list_json(world, board, list)).collect();
            page(request, rows)
        }
        ("POST", []) => {
            let label = request.params.number("label_id")?.ok_or_else(|| {
                Refusal::parameter("label_id, milestone_id, iteration_id, assignee_id are missing, exactly one parameter must be provided")
            })?;
            let list = world.create_list(request.actor()?, id, label)?;
            one_list(world, id, list, 201)
        }
        ("GET", [list]) => {
            let list = board.lists[position(list)?].id;
            one_list(world, id, list, 200)
        }
        ("PUT", [list]) => {
            let from = position(list)?;
            let wanted = request
                .params
                .number("position")?
                .ok_or_else(|| Refusal::parameter("position is missing"))?;
            let board = world.board_mut(request.actor()?, id)?;
            let list = board.lists.remove(from);
            let to = usize::try_from(wanted).unwrap_or(usize::MAX).min(board.lists.len());
            board.lists.insert(to, list);
            one_list(world, id, list.id, 200)
        }
        ("DELETE", [list]) => {
            let at = position(list)?;
            world.board_mut(request.actor()?, id)?.lists.remove(at);
            Ok(Answer::Json(204, Value::Null))
        }
        _ => Err(Refusal::no_route()),
    }
}

fn one_list(world: &World, board: u64, list: u64, status: u16) -> Answered {
    let board = world.board(board)?;
    let list = board.lists.iter().find(|other| other.id == list).ok_or_else(|| Refusal::not_found("List"))?;
    Ok(Answer::Json(status, list_json(world, board, list)))
}
