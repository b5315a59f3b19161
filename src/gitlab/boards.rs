//! Issue boards: a list a state.

use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::labels::Label;
use super::{GitlabError, Project};

/// An issue board.
#[derive(Clone, Debug, Deserialize)]
pub struct Board {
    /// Its number.
    pub id: u64,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its lists; Open and Closed are never among them.
    #[serde(default)]
    pub lists: Vec<BoardList>,
}

/// A list of a board.
#[derive(Clone, Debug, Deserialize)]
pub struct BoardList {
    /// The label whose issues it shows; lists of other kinds have none.
    #[serde(default)]
    pub label: Option<Label>,
}

impl Project {
    /// Every board of the project.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn boards(&self) -> Result<Vec<Board>, GitlabError> {
        self.gitlab.all(&self.plain(Method::GET, "boards")).await
    }

    /// Makes a board.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn create_board(&self, name: &str) -> Result<Board, GitlabError> {
        self.gitlab.get(&self.plain(Method::POST, "boards").json(json!({ "name": name }))).await
    }

    /// Gives a board a list of the issues with a label.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn create_board_list(&self, board: u64, label: u64) -> Result<(), GitlabError> {
        let endpoint =
            self.plain(Method::POST, &format!("boards/{board}/lists")).json(json!({ "label_id": label }));
        self.gitlab.call(&endpoint).await.map(drop)
    }
}
