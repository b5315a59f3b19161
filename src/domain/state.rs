//! The four states of a match and the steps between them (contract, section 3).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a match stands. GitLab holds it as exactly one `job-match/…` label.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for the reviewer.
    Pending,
    /// The reviewer wants to apply.
    Approved,
    /// The reviewer does not want it; the issue is closed.
    Rejected,
    /// The application has left the house; the issue is closed.
    Sent,
}

impl State {
    /// Every state, in the order of a match's life.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Approved, Self::Rejected, Self::Sent];

    /// The word used in the API, in labels and in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Sent => "sent",
        }
    }

    /// Whether the issue of a match in this state is closed.
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Rejected | Self::Sent)
    }

    /// Whether a match may go from this state to `to`.
    ///
    /// `undo_sent` says whether the step back from sent is open: only while the service itself has sent nothing and
    /// no send is in doubt. Staying where it is, is no step.
    pub const fn may_become(self, to: Self, undo_sent: bool) -> bool {
        match (self, to) {
            (Self::Pending, Self::Approved | Self::Rejected)
            | (Self::Approved, Self::Pending | Self::Rejected | Self::Sent)
            | (Self::Rejected, Self::Pending | Self::Approved) => true,
            (Self::Sent, Self::Approved) => undo_sent,
            _ => false,
        }
    }

    /// The states that a match may go to from here, in the order of [`State::ALL`].
    pub fn allowed(self, undo_sent: bool) -> Vec<Self> {
        Self::ALL.into_iter().filter(|to| self.may_become(*to, undo_sent)).collect()
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no state; use pending, approved, rejected or sent")]
pub struct UnknownState(pub String);

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| UnknownState(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the contract, section 3, letter by letter.
    #[test]
    fn the_table_of_steps_is_the_contracts() {
        let table = [
            ("pending", ["–", "yes", "yes", "no"]),
            ("approved", ["yes", "–", "yes", "yes"]),
            ("rejected", ["yes", "yes", "–", "no"]),
            ("sent", ["no", "undo", "no", "–"]),
        ];
        for (from, row) in table {
            let from: State = from.parse().unwrap();
            for (to, cell) in State::ALL.into_iter().zip(row) {
                assert_eq!(from.may_become(to, true), matches!(cell, "yes" | "undo"), "{from} to {to}");
                assert_eq!(from.may_become(to, false), cell == "yes", "{from} to {to}, sent by us");
            }
        }
    }

    #[test]
    fn an_unknown_word_says_what_is_allowed() {
        let error = "open".parse::<State>().unwrap_err();
        assert_eq!(error.to_string(), "`open` is no state; use pending, approved, rejected or sent");
    }
}
