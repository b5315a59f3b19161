//! ToDos of the token's own user; nobody else's can be read or made.

use http::Method;
use serde::Deserialize;

use super::client::Plain;
use super::{GitlabError, Project};

#[derive(Deserialize)]
struct Todo {
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    iid: Option<u64>,
}

impl Project {
    /// Whether the token's own user has a pending ToDo on an issue.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn has_pending_todo(&self, iid: u64) -> Result<bool, GitlabError> {
        let endpoint = Plain::new(Method::GET, "todos")
            .query("state", "pending")
            .query("type", "Issue")
            .query("project_id", self.id);
        let todos: Vec<Todo> = self.gitlab.all(&endpoint).await?;
        Ok(todos.iter().any(|todo| todo.target.as_ref().and_then(|target| target.iid) == Some(iid)))
    }

    /// Gives the token's own user a ToDo on an issue; where one is pending, GitLab answers 304 and it stays.
    ///
    /// # Errors
    ///
    /// As any call.
    pub async fn make_todo(&self, iid: u64) -> Result<(), GitlabError> {
        self.gitlab.call(&self.plain(Method::POST, &format!("issues/{iid}/todo"))).await.map(drop)
    }
}
