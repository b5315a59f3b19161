//! Boards, their lists, and what dragging a card does.

use super::super::people::Ability;
use super::super::records::{Board, BoardList, State};
use super::super::refusal::Refusal;
use super::super::world::World;
use super::IssueChange;

/// A column of a board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// Open issues without a list's label.
    Open,
    /// Open issues with the label of that title.
    Label(String),
    /// Closed issues.
    Closed,
}

impl Column {
    /// `Open`, `Closed`, or the title of a label.
    pub fn named(name: &str) -> Self {
        match name {
            "Open" => Self::Open,
            "Closed" => Self::Closed,
            label => Self::Label(label.to_owned()),
        }
    }
}

impl World {
    /// Makes a board.
    ///
    /// # Errors
    ///
    /// 403 without the permission.
    pub fn create_board(&mut self, actor: u64, name: &str) -> Result<u64, Refusal> {
        self.allow(Some(actor), Ability::AdminLabel)?;
        if name.trim().is_empty() {
            return Err(Refusal::invalid("name", "can't be blank"));
        }
        let id = self.id("board", 6001);
        self.boards.push(Board { id, name: name.trim().to_owned(), lists: Vec::new() });
        Ok(id)
    }

    /// The board of that id.
    ///
    /// # Errors
    ///
    /// 404.
    pub(in super::super) fn board(&self, id: u64) -> Result<&Board, Refusal> {
        self.boards.iter().find(|board| board.id == id).ok_or_else(|| Refusal::not_found("Board"))
    }

    /// The board of that id, for somebody who may change it.
    ///
    /// # Errors
    ///
    /// 404, or 403 without the permission.
    pub(in super::super) fn board_mut(&mut self, actor: u64, id: u64) -> Result<&mut Board, Refusal> {
        self.allow(Some(actor), Ability::AdminLabel)?;
        self.boards.iter_mut().find(|board| board.id == id).ok_or_else(|| Refusal::not_found("Board"))
    }

    /// Adds a list for a label.
    ///
    /// # Errors
    ///
    /// 403 without the permission, 404 for an unknown board, 400 for an unknown label or one that has a list.
    pub fn create_list(&mut self, actor: u64, board: u64, label: u64) -> Result<u64, Refusal> {
        self.board_mut(actor, board)?;
        if self.label(label).is_none() {
            return Err(Refusal::unfit(serde_json::json!({ "error": "Label not found!" })));
        }
        let taken = self.board(board)?.lists.iter().any(|list| list.label == label);
        if taken {
            return Err(Refusal::invalid("label_id", "has already been taken"));
        }
        let id = self.id("list", 7001);
        self.board_mut(actor, board)?.lists.push(BoardList { id, label });
        Ok(id)
    }

    /// Drags a card from one column to another: one update, whatever it changes.
    ///
    /// # Errors
    ///
    /// 404 where board, column or issue are not there, 403 where the issue may not be updated.
    pub fn drag(
        &mut self,
        actor: u64,
        board: u64,
        iid: u64,
        from: &Column,
        to: &Column,
    ) -> Result<(), Refusal> {
        self.visible_issue(Some(actor), iid)?;
        let on_board: Vec<String> = self
            .board(board)?
            .lists
            .iter()
            .filter_map(|list| self.label(list.label))
            .map(|label| label.name.clone())
            .collect();
        for column in [from, to] {
            if let Column::Label(name) = column
                && !on_board.contains(name)
            {
                return Err(Refusal::not_found("List"));
            }
        }
        if from == to {
            return Ok(());
        }
        let mut change = IssueChange::default();
        match to {
            Column::Label(name) => {
                change.add_labels.push(name.clone());
                if let Column::Label(old) = from {
                    change.remove_labels.push(old.clone());
                }
            }
            // Neither Open nor Closed stands for a label: every label with a list goes.
            Column::Open | Column::Closed => change.remove_labels = on_board,
        }
        if *from == Column::Closed {
            change.state = Some(State::Opened);
        } else if *to == Column::Closed {
            change.state = Some(State::Closed);
        }
        self.update_issue(actor, iid, change)
    }
}
